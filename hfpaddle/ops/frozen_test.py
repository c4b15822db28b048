"""A frozen weight in another form: the plain product's values and gradients, and nothing kept."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.ops import frozen

pytestmark = pytest.mark.unit


def both(weight: paddle.Tensor, bias: paddle.Tensor | None, x_value: np.ndarray):
    """Value and input's gradient: by the op, and by autograd through the float32 weight."""
    results = []
    for call in (
        lambda x: ops.linear(x, weight, bias),
        lambda x: ops.linear(x, weight.astype("float32"), bias),
    ):
        x = paddle.to_tensor(x_value, stop_gradient=False)
        out = call(x)
        (out * paddle.arange(out.shape[-1], dtype="float32")).sum().backward()
        results.append((out.numpy(), x.grad.numpy()))
    return results


@pytest.mark.parametrize("choice", ["cpu", "reference"])
@pytest.mark.parametrize("items", [1 << 23, 100])  # one piece, several
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_values_and_gradients(monkeypatch, choice, items, dtype):
    monkeypatch.setattr(frozen, "MOST_ITEMS", items)
    paddle.seed(0)
    weight, bias = paddle.randn([37, 24]).astype(dtype), paddle.randn([37])
    x = np.random.default_rng(0).standard_normal((2, 5, 24)).astype("float32")
    with hfpaddle.kernels.use(linear=choice):
        for got, want in zip(*both(weight, bias, x), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


def test_a_weight_that_is_trained_gets_its_gradient():
    weight = paddle.randn([7, 4]).astype("bfloat16")
    weight.stop_gradient = False
    x = paddle.randn([3, 4])
    ops.linear(x, weight).sum().backward()
    assert weight.grad.dtype == paddle.bfloat16
    want = x.sum(0).astype("bfloat16").astype("float32").numpy()
    np.testing.assert_allclose(weight.grad[2].astype("float32"), want, rtol=1e-2)


def test_the_backward_pass_makes_the_weight_anew(monkeypatch):
    asked = []
    weight = paddle.randn([50, 10])

    def piece(begin, end):
        asked.append((begin, end))
        return weight[begin:end]

    monkeypatch.setattr(frozen, "MOST_ITEMS", 200)
    x = paddle.randn([3, 10])
    x.stop_gradient = False
    out = frozen.frozen_product(x, lambda x: x @ weight.T, piece)
    assert asked == []
    out.sum().backward()
    assert asked == [(0, 20), (20, 40), (40, 50)]
    np.testing.assert_allclose(x.grad[0], weight.sum(0), rtol=1e-5, atol=1e-5)
