"""Adam, norms and scaling of the C++ library: Adam to the last bit as numpy computes it."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.optimizer", reason="the kernels were not built")
from hfpaddle.kernels.cpu.testing import leaf  # noqa: E402

pytestmark = pytest.mark.unit

NUMBERS = {"l2": 0.0, "keep": 0.999, "beta1": 0.9, "beta2": 0.999, "rate": 1e-2, "bias": 0.1,
           "eps": 1e-8}  # fmt: skip


def fused(x, a, s):
    """``x + a * s`` with one rounding."""
    return (x.astype("float64") + a.astype("float64") * float(np.float32(s))).astype("float32")


def by_numpy(p, g, mean, square, top, *, l2, keep, beta1, beta2, rate, bias, eps):
    """What torch's kernels compute, operation by operation."""
    if l2:
        g = fused(g, p, l2)
    p, gap, weight = p * np.float32(keep), g - mean, np.float32(1 - beta1)
    mean = fused(mean, gap, weight) if weight < 0.5 else fused(g, gap, weight - 1)
    wide = (g * np.float32(1 - beta2)).astype("float64") * g.astype("float64")
    square = (wide + (square * np.float32(beta2)).astype("float64")).astype("float32")
    scale = square if top is None else np.maximum(top, square)
    top = scale
    scale = np.sqrt(scale) / np.float32(bias) + np.float32(eps)
    return p + mean * np.float32(-rate) / scale, mean, square, top


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("change", [{}, {"l2": 0.1}, {"beta1": 0.3}, {"keep": 1.0, "beta2": 0.5}])
@pytest.mark.parametrize("size, scale", [(1, 1.0), (33, 1e-18), (40001, 1.0), (100, 1e15)])
def test_adam_to_the_last_bit(size, scale, change, amsgrad):
    numbers = {**NUMBERS, **change}
    arrays = [leaf(size, seed=i, scale=s).numpy() for i, s in enumerate((1, scale, scale))]
    arrays += [arrays[2] ** 2, arrays[2] ** 2 if amsgrad else None]
    param, grad, mean, square, top = (None if a is None else paddle.to_tensor(a) for a in arrays)
    with hfpaddle.kernels.use(adam_="cpu"):
        ops.adam_(param, grad, mean, square, *([top] if amsgrad else []), **numbers)
    expected = by_numpy(*arrays, **numbers)
    for name, got, wanted in zip("pmst", (param, mean, square, top), expected, strict=True):
        if got is not None:
            np.testing.assert_array_equal(got.numpy(), wanted, err_msg=name)
    np.testing.assert_array_equal(grad.numpy(), arrays[1])


def test_adam_agrees_with_the_reference():
    found = []
    for way in ("cpu", "reference"):
        tensors = [leaf(50, seed=i).detach() for i in range(3)]
        tensors += [leaf(50, seed=3).detach().square(), leaf(50, seed=4).detach().square()]
        with hfpaddle.kernels.use(adam_=way):
            ops.adam_(*tensors, **NUMBERS)
        found.append([t.numpy() for t in tensors])
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_adam_declines_views_and_other_dtypes():
    x = paddle.ones([4, 4])
    half = x.astype("float64")
    assert ops.adam_.choose(x, x, x, x, **NUMBERS) is cpu.adam_cpu
    assert ops.adam_.choose(x, x.t()[:2], x, x, **NUMBERS) is ops.adam_.reference
    assert ops.adam_.choose(x, half, x, x, **NUMBERS) is ops.adam_.reference
    assert ops.adam_.choose(half, half, half, half, **NUMBERS) is ops.adam_.reference


@pytest.mark.parametrize("shape", [(1,), (31,), (3, 70001), (20,)])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_squared_norm(shape, scale):
    x = leaf(*shape, scale=scale).detach()
    with hfpaddle.kernels.use(squared_norm="cpu"):
        got = float(ops.squared_norm(x)), float(ops.squared_norm(x[..., ::2]))
    wide = x.numpy().astype("float64")
    expected = (wide**2).sum(), (wide[..., ::2] ** 2).sum()
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert ops.squared_norm.reference(x).shape == []


def test_scale():
    for size in (1, 31, 50000):
        x = leaf(size).detach()
        expected = x.numpy() * np.float32(0.3)
        version = x.inplace_version
        ops.scale_(x, paddle.to_tensor(0.3))
        np.testing.assert_array_equal(x.numpy(), expected)
        assert x.inplace_version > version
    x = paddle.to_tensor([1.0, np.inf, np.nan])
    ops.scale_(x, paddle.to_tensor(1.0))
    np.testing.assert_array_equal(x.numpy(), [1.0, np.inf, np.nan])
    ops.scale_(x, paddle.to_tensor(np.nan, dtype="float32"))
    assert np.isnan(x.numpy()).all()
