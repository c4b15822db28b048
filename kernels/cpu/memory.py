"""Memory for results: on the CPU, whatever Paddle's default device is."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import _C_ops  # type: ignore[attr-defined]

_CPU = paddle.CPUPlace()


def empty(shape: Sequence[int], dtype: paddle.dtype = paddle.float32) -> paddle.Tensor:
    """A tensor of any values; 1.5 microseconds, where `paddle.empty` takes 5 to 8."""
    return _C_ops.empty(list(shape), dtype, _CPU)


def empty_like(x: paddle.Tensor) -> paddle.Tensor:
    """A contiguous tensor of the shape and dtype of ``x``."""
    return empty(x.shape, x.dtype)
