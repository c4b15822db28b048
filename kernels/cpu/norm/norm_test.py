"""Norms of the C++ library against the references: values, gradients and second derivatives."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.norm", reason="the kernels were not built")
from hfpaddle.kernels.cpu.testing import agree, leaf  # noqa: E402

pytestmark = pytest.mark.unit

SHAPES = [(3, 33), (1, 3), (2, 5, 16), (4, 7, 31), (300, 576)]


def layer_norm(x, w=None, b=None, eps=1e-5):
    """By definition: Paddle's own has no second derivative."""
    d = x - x.mean(axis=-1, keepdim=True)
    out = d * paddle.rsqrt(d.square().mean(axis=-1, keepdim=True) + eps)
    out = out if w is None else out * w
    return out if b is None else out + b


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(shape, offset):
    x, w = leaf(*shape), leaf(shape[-1])
    agree(ops.rms_norm, [x, w], lambda x, w: ops.rms_norm(x, w, 1e-6, offset))
    agree(ops.rms_norm, [x], lambda x: ops.rms_norm(x, None))


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm(shape):
    x, w, b = leaf(*shape), leaf(shape[-1]), leaf(shape[-1], seed=1)
    same = {"rtol": 1e-4, "definition": layer_norm}
    agree(ops.layer_norm, [x, w, b], lambda *t: ops.layer_norm(*t), **same)
    agree(ops.layer_norm, [x, w], lambda *t: ops.layer_norm(*t), **same)
    agree(ops.layer_norm, [x], lambda x: ops.layer_norm(x, None), **same)
    agree(ops.layer_norm, [x, w, b], lambda *t: ops.layer_norm(*t), second=False, rtol=1e-4)


@pytest.mark.parametrize("op", [ops.rms_norm, ops.layer_norm], ids=lambda op: op.name)
def test_frozen_weights_and_views(op):
    x, w = leaf(4, 6, 40), leaf(40)
    w.stop_gradient = True
    agree(op, [x, w], lambda x, w: op(x, w), second=False)
    agree(op, [x, w], lambda x, w: op(x.transpose([1, 0, 2]), w), second=False)
    agree(op, [x, w], lambda x, w: op(x[..., ::2], w[::2]), second=False)
    x.stop_gradient, w.stop_gradient = True, False
    agree(op, [x, w], lambda x, w: op(x, w), second=False)
    with paddle.no_grad():
        agree(op, [x.detach(), w.detach()], lambda x, w: op(x, w))


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e17])
def test_both_ends_of_the_range(scale):
    x, w = leaf(5, 48, scale=scale), leaf(48)
    agree(ops.rms_norm, [x, w], lambda x, w: ops.rms_norm(x, w), second=False)
    w.stop_gradient = True
    agree(ops.rms_norm, [x, w], lambda x, w: ops.rms_norm(x, w), second=False, g_scale=1e-3)


def test_weights_of_another_dtype_and_what_is_declined():
    x, w = leaf(3, 32), leaf(32).detach().astype("bfloat16")
    agree(ops.rms_norm, [x, w], lambda x, w: ops.rms_norm(x, w), second=False)
    assert ops.rms_norm.choose(x, paddle.ones([1])) is ops.rms_norm.reference
    assert ops.rms_norm.choose(paddle.zeros([0, 4]), None) is ops.rms_norm.reference
    assert ops.rms_norm.choose(x.astype("float64"), None) is ops.rms_norm.reference
    assert ops.layer_norm.choose(x, None, w) is ops.layer_norm.reference
    with hfpaddle.kernels.use(rms_norm="reference"):
        assert ops.rms_norm.choose(x, w) is ops.rms_norm.reference


def test_under_recomputation():
    """Saved tensors come back without their ``stop_gradient`` there."""
    from hfpaddle.layers.recompute import recompute

    gradients = []
    for way in (lambda f, x: f(x), recompute):
        x, w, b = leaf(3, 40), leaf(40), leaf(40, seed=1)
        h = way(lambda x, w=w, b=b: ops.layer_norm(ops.rms_norm(x, w), w, b), x * 2)
        gradients.append(paddle.grad(h.square().sum(), [x, w, b]))
    for plain, again in zip(*gradients, strict=True):
        np.testing.assert_array_equal(plain.numpy(), again.numpy())
