"""A large result and its adapter are added by one product: the same values and gradients."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from hfpaddle.core import rng
from hfpaddle.layers.basic import Linear
from hfpaddle.peft import LoraConfig
from hfpaddle.peft.tuners.lora import layer as lora

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_one_product_adds_what_two_do(monkeypatch, dropout):
    rng.manual_seed(0)
    base = Linear(24, 40)
    for param in base.parameters():
        param.set_value(paddle.randn(param.shape))
        param.stop_gradient = True
    config = LoraConfig(r=4, lora_alpha=12, init_lora_weights=False, lora_dropout=dropout)
    both = lora.Linear(base, "default", config, 4, 12)
    x = paddle.randn([2, 5, 24])
    x.stop_gradient = False
    results = []
    for small in (1, 1 << 15):
        monkeypatch.setattr(lora, "MOST_SMALL", small)
        rng.manual_seed(7)
        out = both(x)
        (out * paddle.arange(40, dtype="float32")).sum().backward()
        params = [x, both.lora_A["default"].weight, both.lora_B["default"].weight]
        results.append([out.numpy(), *(p.grad.numpy() for p in params)])
        for param in params:
            param.clear_gradient()
    seen = []
    monkeypatch.setattr(paddle, "addmm", lambda *args: seen.append(args))
    monkeypatch.setattr(lora, "MOST_SMALL", 1)
    with pytest.raises(AttributeError):
        both(x)
    assert len(seen) == 1  # the first way is the one that was meant
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-4)
