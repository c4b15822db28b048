"""The update of Adam, and the norm and the scaling of gradients before it."""

from __future__ import annotations

import paddle
from paddle import _C_ops  # type: ignore[attr-defined]

from hfpaddle.core.op import op


@op
def adam_(
    param: paddle.Tensor,
    grad: paddle.Tensor,
    mean: paddle.Tensor,
    square: paddle.Tensor,
    largest: paddle.Tensor | None = None,
    *,
    l2: float,
    keep: float,
    beta1: float,
    beta2: float,
    rate: float,
    bias: float,
    eps: float,
) -> None:
    """One step of Adam, in place.

    Args:
        param, grad: one shape, floating.
        mean, square: running means of the gradient and of its square; ``largest`` of ``square``,
            for AMSGrad.
        l2: ``grad`` becomes ``grad + l2 * param``; ``keep`` multiplies ``param`` (decoupled decay).
        rate: step size over the mean's bias correction; ``bias``: root of the square's.
    Source: arXiv:1412.6980, algorithm 1; AMSGrad Reddi et al. (2018).
    """
    if l2:
        grad = grad + l2 * param
    mean.set_value(beta1 * mean + (1.0 - beta1) * grad)
    square.set_value(beta2 * square + (1.0 - beta2) * grad.square())
    if largest is not None:
        largest.set_value(paddle.maximum(largest, square))
    scale = paddle.sqrt(square if largest is None else largest) / bias + eps
    param.set_value(keep * param - rate * mean / scale)


@op
def squared_norm(x: paddle.Tensor) -> paddle.Tensor:
    """Sum of the squares of ``x``, floating, of any shape: a float32 scalar."""
    if x.dtype != paddle.float32:
        x = x.astype("float32")
    # Paddle's norm loses three digits over ten million elements, and takes thirty times as long.
    return _C_ops.squared_l2_norm(x).reshape([])


@op
def scale_(x: paddle.Tensor, factor: paddle.Tensor) -> None:
    """Multiply ``x`` by the scalar ``factor``, float32, in place, in the dtype of ``x``."""
    same = x.dtype == factor.dtype
    _C_ops.multiply_(x, factor if same else factor.astype(x.dtype))
