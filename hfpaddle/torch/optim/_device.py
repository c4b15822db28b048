"""The arithmetic of update rules on whole tensors: what ``_blocks`` is to the CPU's memory."""

from __future__ import annotations

import paddle
from paddle import _C_ops

Tensor = paddle.Tensor

root, magnitude, sign = paddle.sqrt, paddle.abs, paddle.sign
copied = paddle.assign


def _number(s: float, x: Tensor) -> Tensor:
    """Paddle's scale keeps its factor in float32; a tensor keeps all digits."""
    return paddle.full([], s, x.dtype)


def scale_(x: Tensor, s: float) -> None:
    """``x *= s``."""
    _C_ops.multiply_(x, _number(s, x))


def divide_(x: Tensor, s: Tensor | float) -> None:
    """``x /= s``."""
    divisor = s if isinstance(s, Tensor) else _number(s, x)
    _C_ops.divide_(x, divisor)


def shift_(x: Tensor, s: float) -> None:
    """``x += s``."""
    _C_ops.add_(x, _number(s, x))


def multiply_(x: Tensor, y: Tensor) -> None:
    """``x *= y``."""
    _C_ops.multiply_(x, y)


def add_(x: Tensor, y: Tensor, alpha: float) -> None:
    """``x += alpha * y``."""
    _C_ops.add_(x, scaled(y, alpha))


def plus(x: Tensor, y: Tensor, alpha: float) -> Tensor:
    """``x + alpha * y``, new."""
    return _C_ops.add(x, scaled(y, alpha))


def shifted(x: Tensor, s: float) -> Tensor:
    """``x + s``, new."""
    return _C_ops.add(x, _number(s, x))


def scaled(x: Tensor, s: float) -> Tensor:
    """``x * s``, new."""
    return _C_ops.multiply(x, _number(s, x))


def lerp_(x: Tensor, y: Tensor, weight: float) -> None:
    """``x += weight * (y - x)``, from the nearer end."""
    gap = _C_ops.subtract(y, x)
    if weight < 0.5:
        add_(x, gap, weight)
    else:
        copy_(x, plus(y, gap, weight - 1.0))


def addcmul_(x: Tensor, a: Tensor, b: Tensor, value: float) -> None:
    """``x += (value * a) * b``."""
    _C_ops.add_(x, _C_ops.multiply(scaled(a, value), b))


def addcdiv_(x: Tensor, a: Tensor, b: Tensor, value: float) -> None:
    """``x += (value * a) / b``."""
    _C_ops.add_(x, _C_ops.divide(scaled(a, value), b))


def maximum_(x: Tensor, y: Tensor) -> None:
    """``x`` becomes the larger one."""
    copy_(x, _C_ops.maximum(x, y))


def clip_(x: Tensor, low: float, high: float) -> None:
    """Cut to [low, high]."""
    copy_(x, paddle.clip(x, low, high))


def copy_(x: Tensor, y: Tensor) -> None:
    """``x`` takes the values of ``y``."""
    _C_ops.assign_out_(y, x)


def where(condition: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x`` where the condition holds, else ``y``, new."""
    kind = next((v.dtype for v in (x, y) if isinstance(v, Tensor)), paddle.float32)
    x, y = (v if isinstance(v, Tensor) else paddle.full([], v, kind) for v in (x, y))
    return paddle.where(condition, x, y)


def quotient(s: float, x: Tensor) -> Tensor:
    """``s / x``, new."""
    return _C_ops.divide(_number(s, x), x)
