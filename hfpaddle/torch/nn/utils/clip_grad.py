"""Clipping of gradients, in place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import paddle
from paddle import _C_ops

from hfpaddle import ops

Tensor = paddle.Tensor


def _grads(parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def _norm(x: Tensor, p: float) -> Tensor:
    x = paddle.reshape(x, [-1])
    if p == math.inf:
        return paddle.max(paddle.abs(x))
    if p == 2.0 and x.dtype is paddle.float32:
        return paddle.sqrt(ops.squared_norm(x))
    if p == 2.0:
        return paddle.sqrt(paddle.sum(paddle.square(x)))  # the sum of all is exact in Paddle
    return paddle.linalg.norm(x, p=p)


def get_total_norm(
    tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Norm of the norms of ``tensors``, computed in float32 or wider.

    Raises: RuntimeError if it is not finite and ``error_if_nonfinite``.
    """
    p = float(norm_type)
    with paddle.no_grad():
        wide = [x if x.dtype is paddle.float64 else paddle.cast(x, "float32") for x in tensors]
        if not wide:
            return paddle.zeros([])
        total = _norm(paddle.stack([_norm(x, p) for x in wide]), p)
        if error_if_nonfinite and not math.isfinite(float(total)):
            raise RuntimeError(
                f"The total norm of order {p} for gradients from `parameters` is non-finite, so it "
                "cannot be clipped. To disable this error and scale the gradients by the "
                "non-finite norm anyway, set `error_if_nonfinite=False`"
            )
    return total


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiply the gradients by ``max_norm / total_norm`` where that is below 1."""
    with paddle.no_grad():
        factor = paddle.clip(float(max_norm) / (total_norm + 1e-6), max=1.0)
        for grad in _grads(parameters):
            if grad.dtype is factor.dtype is paddle.float32:
                ops.scale_(grad, factor)
                continue
            scaled = paddle.cast(
                paddle.multiply(paddle.cast(grad, factor.dtype), factor), grad.dtype
            )
            _C_ops.assign_out_(scaled, grad)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale the gradients so that their norm is at most ``max_norm``; returns the norm before."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_grads(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(parameters: Any, max_norm: float, norm_type: float = 2.0, **options: Any):
    """The old name of :func:`clip_grad_norm_`."""
    return clip_grad_norm_(parameters, max_norm, norm_type, **options)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Cut every item of the gradients to [-clip_value, clip_value]."""
    limit = float(clip_value)
    with paddle.no_grad():
        for grad in _grads(parameters):
            wide = paddle.cast(grad, "float32") if grad.dtype is not paddle.float64 else grad
            _C_ops.assign_out_(paddle.cast(paddle.clip(wide, -limit, limit), grad.dtype), grad)
