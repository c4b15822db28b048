"""Gates of the C++ library against the reference: values, gradients and second derivatives."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from hfpaddle import ops
from hfpaddle.core.op import discover
from hfpaddle.layers.activations import ACTIVATIONS

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.gated", reason="the kernels were not built")
from hfpaddle.kernels.cpu.testing import agree, leaf  # noqa: E402

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", cpu.NUMBERS)
@pytest.mark.parametrize("shape", [(3, 33), (5,), (2, 3, 16), (70, 300)])
def test_gate(shape, name):
    act = ACTIVATIONS[name]
    inputs = [leaf(*shape, scale=3.0), leaf(*shape, seed=1)]
    # Paddle's own GELUs have no second derivative; the original's formula has.
    kind = ACTIVATIONS["gelu_new"] if name == "gelu_pytorch_tanh" else act
    agree(ops.gated, inputs, lambda a, u: ops.gated(a, u, act), second=name != "gelu",
          definition=lambda a, u: kind(a) * u)  # fmt: skip
    agree(ops.gated, inputs, lambda a, u: ops.gated(a, u, act), second=False)


def test_second_derivative_of_gelu():
    """The slope's slope is the normal density times ``2 - x ** 2``."""
    x = leaf(50)
    out = ops.gated(x, paddle.ones_like(x), ACTIVATIONS["gelu"])
    (slope,) = paddle.grad(out.sum(), x, create_graph=True)
    values = x.numpy().astype("float64")
    expected = np.exp(-0.5 * values**2) / np.sqrt(2 * np.pi) * (2 - values**2)
    np.testing.assert_allclose(paddle.grad(slope.sum(), x)[0], expected, atol=1e-6)


def test_halves_of_a_projection_and_other_views():
    act = ACTIVATIONS["silu"]
    agree(ops.gated, [leaf(3, 5, 70)], lambda x: ops.gated(*x.chunk(2, axis=-1), act))
    turned = leaf(4, 6, 8)
    agree(ops.gated, [turned],
          lambda x: ops.gated(x.transpose([1, 0, 2]), x.reshape([6, 4, 8]), act))  # fmt: skip
    agree(ops.gated, [turned], lambda x: ops.gated(x[..., ::2], x[..., 1::2], act),
          second=False)  # fmt: skip
    inputs = [leaf(3, 8), leaf(3, 8, seed=1)]
    inputs[0].stop_gradient = True
    agree(ops.gated, inputs, lambda a, u: ops.gated(a, u, act), second=False)


@pytest.mark.parametrize("name", cpu.NUMBERS)
def test_both_ends_of_the_range(name):
    values = [-3e38, -1e20, -200.0, -90.0, -20.0, -1e-20, 0.0, 1e-38, 1e-5, 20.0, 90.0, 1e12, 3e38]
    a = paddle.to_tensor(np.array(values * 3, "float32"), stop_gradient=False)
    act = ACTIVATIONS[name]
    out = ops.gated(a, paddle.full_like(a, 0.5), act)
    gradient = paddle.grad(out.sum(), a)[0].numpy()
    x = np.array(values * 3)
    np.testing.assert_allclose(out[x >= 20], 0.5 * x[x >= 20], rtol=1e-6)
    np.testing.assert_allclose(out[x <= -20], 0.0, atol=3e-8)
    small = np.abs(x) < 1e-4
    slope = 1.0 if name == "relu" else 0.5
    half = np.where((x[small] < 0) & (name == "relu"), 0.0, 0.5 * slope * x[small])
    np.testing.assert_allclose(out[small], half, rtol=1e-4, atol=1e-38)
    plain = (np.abs(x) >= 20) & (np.abs(x) <= 1e12)
    np.testing.assert_allclose(gradient[plain], np.where(x[plain] > 0, 0.5, 0.0), atol=1e-6)


def test_what_is_declined():
    a = leaf(2, 8)
    assert ops.gated.choose(a, a, ACTIVATIONS["mish"]) is ops.gated.reference
    assert ops.gated.choose(a, a, lambda x: x) is ops.gated.reference
    assert ops.gated.choose(a, a[:1], ACTIVATIONS["silu"]) is ops.gated.reference
    assert ops.gated.choose(a, a, ACTIVATIONS["silu"]) is cpu.gated_cpu


def test_views_under_recomputation():
    from hfpaddle.layers.recompute import recompute

    act, gradients = ACTIVATIONS["silu"], []
    for way in (lambda f, x: f(x), recompute):
        x = leaf(6, 70)
        out = way(lambda x: ops.gated(x[:, :35], x[:, 35:], act), x * 2)
        out = out.sum() + way(lambda x: ops.gated(x.t(), x.t() * 3, act), x * 2).square().sum()
        gradients.append(paddle.grad(out, x)[0].numpy())
    np.testing.assert_array_equal(*gradients)
