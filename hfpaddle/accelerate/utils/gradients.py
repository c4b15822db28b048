"""Clipping, with torch's arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import paddle

from hfpaddle import ops


def _gradients(parameters: Any) -> list[paddle.Tensor]:
    if isinstance(parameters, paddle.Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def _norm(tensor: paddle.Tensor, kind: float) -> paddle.Tensor:
    if kind == 2.0:
        return paddle.sqrt(ops.squared_norm(tensor))
    magnitude = paddle.abs(tensor.astype("float32"))
    if math.isinf(kind):
        return paddle.amax(magnitude)
    return paddle.pow(paddle.sum(paddle.pow(magnitude, kind)), 1.0 / kind)


@paddle.no_grad()
def clip_grad_norm_(
    parameters: Iterable[Any] | Any, max_norm: float, norm_type: float = 2
) -> paddle.Tensor:
    """Scale gradients in place so that their joint norm is at most ``max_norm``.

    Returns: the norm before, float32 ``[]``.
    """
    gradients, kind = _gradients(parameters), float(norm_type)
    if not gradients:
        return paddle.zeros([])
    total = _norm(paddle.stack([_norm(g, kind) for g in gradients]), kind)
    # As torch: a guard of 1e-6.
    factor = paddle.clip(float(max_norm) / (total + 1e-6), max=1.0)
    for gradient in gradients:
        ops.scale_(gradient, factor)
    return total


@paddle.no_grad()
def clip_grad_value_(parameters: Iterable[Any] | Any, clip_value: float) -> None:
    """Limit every item of the gradients to ``[-clip_value, clip_value]``, in place."""
    for gradient in _gradients(parameters):
        gradient.clip_(-float(clip_value), float(clip_value))
