"""Sums, and what is made of them, with torch's digits.

Paddle's CPU kernel adds along an axis one item after another: 262,144 items lose three digits, and
4 million half of them; along a first axis it also takes 30 times as long as a matrix product
with ones, which adds in many lanes. So sums here are such products, in blocks. Paddle's softmax
on the CPU cuts logits at 64 below the largest: no probability is 0 there, and no loss exceeds
64. Other devices have kernels without these faults, and use them.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import paddle
import paddle.nn.functional as P

from hfpaddle.torch._half import is_half, lifted

Tensor = paddle.Tensor

_FEW = 32  # items that Paddle adds as well
_BLOCK = 4096  # items of one product


def _exact(x: Tensor) -> bool:
    """Whether Paddle's kernels serve as they are."""
    return not x.place.is_cpu_place() or x.dtype not in (paddle.float32, paddle.float64)


@functools.lru_cache(64)
def _row_of_ones(items: int, dtype: Any) -> Tensor:
    with paddle.no_grad():
        return paddle.ones([1, items], dtype)


def _divisor(items: int) -> int:
    """The largest divisor up to a block."""
    return next(d for d in range(_BLOCK, 0, -1) if items % d == 0)


def _middle_sum(x: Tensor, a: int, k: int, b: int) -> Tensor:
    """``[a, k, b]`` added over ``k``, as ``[a * b]``."""
    if k <= _BLOCK:
        if a > 1 and b > 1:
            ones = paddle.expand(_row_of_ones(k, x.dtype), [a, 1, k])
            return paddle.matmul(ones, paddle.reshape(x, [a, k, b]))
        if b == 1:
            column = paddle.reshape(_row_of_ones(k, x.dtype), [k, 1])
            return paddle.matmul(paddle.reshape(x, [a, k]), column)
        return paddle.matmul(_row_of_ones(k, x.dtype), paddle.reshape(x, [k, b]))
    block = _divisor(k)
    if block >= 64:
        parts = _middle_sum(x, a * (k // block), block, b)
        return _middle_sum(parts, a, k // block, b)
    whole = k - k % 1024
    first, rest = paddle.split(paddle.reshape(x, [a, k, b]), [whole, k - whole], axis=1)
    return paddle.add(
        paddle.reshape(_middle_sum(first, a, whole, b), [-1]),
        paddle.reshape(_middle_sum(rest, a, k - whole, b), [-1]),
    )


def _groups(dims: list[int]) -> list[tuple[int, int]]:
    """Runs of neighbours in a sorted list: first and last, from the last run on."""
    runs: list[tuple[int, int]] = []
    for dim in reversed(dims):
        if runs and runs[-1][0] == dim + 1:
            runs[-1] = (dim, runs[-1][1])
        else:
            runs.append((dim, dim))
    return runs


def _worth(shape: list[int], dims: list[int]) -> bool:
    """Whether products are better than Paddle's kernel: many items, and no crowd of tiny ones."""
    if math.prod(shape[d] for d in dims) <= _FEW:
        return False
    for first, last in _groups(dims):
        a, k, b = _thirds(shape, first, last)
        if a > 1 and b > 1 and k * b < 1024:
            return False
    return True


def _thirds(shape: list[int], first: int, last: int) -> tuple[int, int, int]:
    return (
        math.prod(shape[:first]), math.prod(shape[first : last + 1]), math.prod(shape[last + 1 :]),
    )  # fmt: skip


def total(x: Tensor, axis: Any = None, keepdim: bool = False) -> Tensor:
    """Sum of ``x`` over ``axis`` (an int, a list or None for all); half types add in float32."""
    if is_half(x) and x.place.is_cpu_place():
        return paddle.cast(total(paddle.cast(x, "float32"), axis, keepdim), x.dtype)
    if axis is None or _exact(x) or 0 in x.shape or not x.ndim:
        return paddle.sum(x, axis, keepdim=keepdim)
    shape = list(x.shape)
    dims = [axis] if isinstance(axis, int) else list(axis)
    if len(dims) != len(set(dims)) or any(not -x.ndim <= d < x.ndim for d in dims):
        return paddle.sum(x, axis, keepdim=keepdim)  # Paddle's message
    dims = sorted(d % x.ndim for d in dims)
    if len(dims) == x.ndim:
        return paddle.sum(x, None, keepdim=keepdim)  # this kernel adds in pairs
    if not _worth(shape, dims):
        return paddle.sum(x, axis, keepdim=keepdim)
    sizes = list(shape)
    for first, last in _groups(dims):
        x = _middle_sum(x, *_thirds(sizes, first, last))
        sizes[first : last + 1] = [1] * (last + 1 - first)
    if not keepdim:
        sizes = [size for d, size in enumerate(sizes) if d not in dims]
    return paddle.reshape(x, sizes)


def average(x: Tensor, axis: Any = None, keepdim: bool = False) -> Tensor:
    """Mean of floating ``x`` over ``axis``."""
    if is_half(x) and x.place.is_cpu_place():
        return paddle.cast(average(paddle.cast(x, "float32"), axis, keepdim), x.dtype)
    if _exact(x) or 0 in x.shape:
        return paddle.mean(x, axis, keepdim=keepdim)
    added = total(x, axis, keepdim)
    return added if x.size == added.size else _over(added, x.size / added.size)


def _over(x: Tensor, divisor: float) -> Tensor:
    """``x / divisor`` in the digits of ``x``: Paddle's scale keeps a factor in float32."""
    return paddle.divide(x, paddle.full([], divisor, x.dtype))


def spread(x: Tensor, axis: Any, correction: float, keepdim: bool) -> Tensor:
    """Sum of the squared distances from the mean, over their number less ``correction``."""
    middle = average(x, axis, True)
    gap = paddle.subtract(x, middle)
    found = total(paddle.multiply(gap, gap), axis, keepdim)
    count = x.size // max(middle.size, 1) - correction
    return _over(found, max(count, 0))  # torch: 0 / 0 for one item


def length(x: Tensor, axis: Any = None, keepdim: bool = False) -> Tensor:
    """Root of the sum of squares; the gradient at 0 is 0."""
    squares = total(paddle.multiply(x, x), axis, keepdim)
    if x.stop_gradient or not paddle.is_grad_enabled():
        return paddle.sqrt(squares)
    none = squares == 0
    root = paddle.sqrt(paddle.where(none, paddle.ones_like(squares), squares))
    return paddle.where(none, paddle.zeros_like(root), root)


def _shifted(x: Tensor, axis: int) -> Tensor:
    return paddle.subtract(x, paddle.max(x.detach(), axis=axis, keepdim=True))


@lifted
def softmax(x: Tensor, axis: int) -> Tensor:
    """exp(x) over its sum."""
    if _exact(x) or 0 in x.shape:
        return P.softmax(x, axis=axis)
    powers = paddle.exp(_shifted(x, axis))
    return paddle.divide(powers, total(powers, axis, True))


@lifted
def log_softmax(x: Tensor, axis: int) -> Tensor:
    """Logarithm of :func:`softmax`."""
    if _exact(x) or 0 in x.shape:
        return P.log_softmax(x, axis=axis)
    shifted = _shifted(x, axis)
    return paddle.subtract(shifted, paddle.log(total(paddle.exp(shifted), axis, True)))


@lifted
def logsumexp(x: Tensor, axis: Any, keepdim: bool = False) -> Tensor:
    """Logarithm of the sum of exponentials; minus infinity where all items are."""
    if _exact(x) or 0 in x.shape:
        return paddle.logsumexp(x, axis, keepdim)
    top = paddle.max(x.detach(), axis=axis, keepdim=True)
    top = paddle.where(paddle.isfinite(top), top, paddle.zeros_like(top))
    added = total(paddle.exp(paddle.subtract(x, top)), axis, keepdim)
    return paddle.add(paddle.log(added), paddle.reshape(top, added.shape))


@lifted
def running(function: Any, x: Tensor, axis: int) -> Tensor:
    """A running sum or product, in float64 as torch's CPU kernel."""
    if x.dtype is not paddle.float32 or not x.place.is_cpu_place():
        return function(x, axis)
    return paddle.cast(function(paddle.cast(x, "float64"), axis), "float32")
