"""The arithmetic of update rules on blocks of the CPU's memory, rounded as torch rounds it.

torch's CPU kernels fuse the product and the sum of ``add(alpha=)``, ``lerp`` and ``addcmul`` into
one rounding, and round constants to the dtype of the array. A block is a one-dimensional numpy
array, a view of a tensor, small enough to stay in the cache from one operation to the next.
``_device`` has the same functions for tensors.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

root, magnitude, sign, where = np.sqrt, np.abs, np.sign, np.where


def _fused(x: Array, a: Array, s: float) -> None:
    """``x += a * s`` with one rounding."""
    if x.dtype == np.float32:
        # The product of two float32 is exact in float64.
        wide = a.astype(np.float64)
        wide *= float(np.float32(s))
        wide += x.astype(np.float64)
        x[...] = wide
    else:
        x += a * s


def scale_(x: Array, s: float) -> None:
    """``x *= s``."""
    x *= s


def divide_(x: Array, s: Array | float) -> None:
    """``x /= s``."""
    x /= s


def shift_(x: Array, s: float) -> None:
    """``x += s``."""
    x += s


def multiply_(x: Array, y: Array) -> None:
    """``x *= y``."""
    x *= y


def add_(x: Array, y: Array, alpha: float) -> None:
    """``x += alpha * y``."""
    _fused(x, y, alpha)


def plus(x: Array, y: Array, alpha: float) -> Array:
    """``x + alpha * y``, new."""
    out = x.copy()
    _fused(out, y, alpha)
    return out


def shifted(x: Array, s: float) -> Array:
    """``x + s``, new."""
    return x + s


def scaled(x: Array, s: float) -> Array:
    """``x * s``, new."""
    return x * s


def lerp_(x: Array, y: Array, weight: float) -> None:
    """``x += weight * (y - x)``, from the nearer end."""
    gap = y - x
    if weight < 0.5:
        _fused(x, gap, weight)
    else:
        x[...] = y
        _fused(x, gap, float(x.dtype.type(weight)) - 1.0)


def addcmul_(x: Array, a: Array, b: Array, value: float) -> None:
    """``x += (value * a) * b``."""
    if x.dtype == np.float32:
        wide = (a * np.float32(value)).astype(np.float64)
        wide *= b.astype(np.float64)
        wide += x.astype(np.float64)
        x[...] = wide
    else:
        x += (a * value) * b


def addcdiv_(x: Array, a: Array, b: Array, value: float) -> None:
    """``x += (value * a) / b``."""
    step = a * value
    step /= b
    x += step


def maximum_(x: Array, y: Array) -> None:
    """``x`` becomes the larger one."""
    np.maximum(x, y, out=x)


def clip_(x: Array, low: float, high: float) -> None:
    """Cut to [low, high]."""
    np.clip(x, low, high, out=x)


def copy_(x: Array, y: Array) -> None:
    """``x`` takes the values of ``y``."""
    x[...] = y


def copied(x: Array) -> Array:
    """The same values, new."""
    return x.copy()


def quotient(s: float, x: Array) -> Array:
    """``s / x``, new."""
    return s / x
