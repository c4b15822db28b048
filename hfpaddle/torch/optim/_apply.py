"""Run an elementwise update rule over a parameter: in blocks on the CPU, whole elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from hfpaddle.torch._dtypes import HALVES
from hfpaddle.torch.optim import _blocks, _device

Tensor = paddle.Tensor

# Items of a block. Its parameter, gradient, two states and two float64 scratch arrays fill half a
# megabyte; from 8192 to 65536 the time changes by a tenth.
BLOCK = 16384
_CODES = {paddle.float32: "<f4", paddle.float64: "<f8"}


class _Memory:
    """A tensor's memory for numpy, without the checks and the capsule of DLPack."""

    __slots__ = ("__array_interface__",)


def _view(x: Tensor, items: int, code: str) -> np.ndarray:
    memory = _Memory()
    memory.__array_interface__ = {
        "data": (x.data_ptr(), False), "shape": (items,), "typestr": code, "version": 3,
    }  # fmt: skip
    return np.asarray(memory)


def apply(rule: Callable, param: Tensor, grad: Tensor, *states: Tensor, **numbers: Any) -> None:
    """``rule(math, p, g, *states, **numbers)``, which changes ``p`` and the states in place.

    Args:
        rule: elementwise; ``math`` is the module ``_blocks`` or ``_device``. It must not change
            ``g``.
        param, grad, states: one shape. Half types are computed in float32 and rounded at the end.
    """
    if 0 in param.shape:
        return
    tensors = [param, grad, *states]
    wide = paddle.float32 if param.dtype in HALVES else param.dtype
    work = [t if t.dtype is wide else paddle.cast(t, wide) for t in tensors]
    work = [t if t.is_contiguous() else t.contiguous() for t in work]
    if param.place.is_cpu_place() and wide in _CODES:
        _in_blocks(rule, work, _CODES[wide], numbers)
    else:
        rule(_device, *[t.detach() for t in work], **numbers)
    for old, new in zip(tensors, work, strict=True):
        if old is grad:
            continue
        if old is not new:
            paddle.assign(paddle.cast(new, old.dtype), old)
        elif new.place.is_cpu_place():
            new._bump_inplace_version()  # a graph that still needs the old values must notice


def _in_blocks(rule: Callable, tensors: list[Tensor], code: str, numbers: dict) -> None:
    items = tensors[0]._numel()
    arrays = [_view(t, items, code) for t in tensors]
    for start in range(0, items, BLOCK):
        rule(_blocks, *[a[start : start + BLOCK] for a in arrays], **numbers)
