"""Large results, which one product adds to, and weights of few bits: the plain way's numbers."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
import hfpaddle.transformers as hf
from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.quantized import QuantizedLinear
from hfpaddle.peft import LoraConfig, get_peft_model
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


@pytest.mark.parametrize("choice", ["cpu", "reference"])
@pytest.mark.parametrize("bits", [8, 4])
def test_over_weights_of_few_bits(tmp_path, bits, choice):
    """The adapter of a quantised model is that of a model with the same weights unpacked."""
    rng.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50}
    hf.LlamaForCausalLM(hf.LlamaConfig(**sizes, **heads)).save_pretrained(tmp_path)
    few = hf.WeightOnlyConfig(bits=bits)
    stored = hf.AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=few)
    plain = hf.AutoModelForCausalLM.from_pretrained(tmp_path)
    unpacked = {
        f"{name}.weight": layer.dequantize()
        for name, layer in stored.named_sublayers()
        if isinstance(layer, QuantizedLinear)
    }
    assert len(unpacked) == 14
    for name, value in plain.named_parameters():
        if name in unpacked:
            value.set_value(unpacked[name])
    ids = paddle.to_tensor(np.random.default_rng(0).integers(0, 50, (2, 12)))
    results = []
    for base in (stored, plain):
        rng.manual_seed(1)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(base, config)
        assert len(model.targeted_module_names) == 14
        with hfpaddle.kernels.use(quantized_linear=choice):
            out = model(ids, labels=ids)
            out.loss.backward()
        trained = [p for p in model.parameters() if not p.stop_gradient]
        results.append([out.logits.numpy(), *(p.grad.numpy() for p in trained)])
    assert len(results[0]) == 1 + 2 * 14
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="Cannot merge an adapter into weights of 8 or 4 bits"):
        model = get_peft_model(stored, LoraConfig(target_modules=["q_proj"]), adapter_name="b")
        model.merge_adapter()
    with pytest.raises(UnsupportedArgumentError, match="use_dora=True over weights of 8 or 4"):
        get_peft_model(stored, LoraConfig(use_dora=True, target_modules=["k_proj"]))
