"""Losses of ``torch.nn.functional``. ``reduction`` is "none", "mean", "sum"."""

from __future__ import annotations

import math
import warnings
from typing import Any

import paddle
import paddle.nn.functional as P

from hfpaddle.torch import _sums
from hfpaddle.torch._dtypes import FLOATING
from hfpaddle.torch._half import lifted
from hfpaddle.torch.nn._activation import log_softmax, logsigmoid

Tensor = paddle.Tensor

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy", "gaussian_nll_loss", "hinge_embedding_loss",
    "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "nll_loss",
    "pairwise_distance", "poisson_nll_loss", "smooth_l1_loss", "triplet_margin_loss",
]  # fmt: skip


def legacy_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """``reduction`` as the two arguments of old torch say it, where they are given."""
    if size_average is None and reduce is None:
        if reduction not in ("none", "mean", "sum", "batchmean"):
            raise ValueError(f"{reduction} is not a valid value for reduction")
        return reduction
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    result = "none" if not reduce else "mean" if size_average else "sum"
    warnings.warn(
        f"size_average and reduce are deprecated, please use reduction='{result}' instead.",
        stacklevel=3,
    )
    return result


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return _mean(loss) if reduction == "mean" else _sum(loss)


_mean, _sum = lifted(_sums.average), lifted(_sums.total)


def _same_shape(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if list(input.shape) != list(target.shape):
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=4,
        )
    if input.dtype is not target.dtype:
        wide = paddle.float64 if paddle.float64 in (input.dtype, target.dtype) else input.dtype
        wide = target.dtype if wide not in FLOATING else wide
        input, target = paddle.cast(input, wide), paddle.cast(target, wide)
    return input, target


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """Negative log-likelihood of ``target`` under softmax of ``input``.

    Args:
        input: ``[C]``, ``[N, C]`` or ``[N, C, d1, ...]``, floating: the class axis is 1.
        target: class indices without the class axis, or probabilities of ``input``'s shape.
        weight: ``[C]``.
        ignore_index: indices equal to it do not count, in the mean either.
    Returns: a scalar, or one loss a position for "none"; NaN for a mean over nothing.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    axis = 1 if input.ndim > 1 else 0
    if list(target.shape) == list(input.shape) and target.dtype in FLOATING:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis)
    if target.dtype in FLOATING:
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {target.dtype}"
            if list(target.shape) == list(input.shape)
            else "expected scalar type Long but found Float"
        )
    _check_labels("cross_entropy", input, target, axis)
    if weight is None and not label_smoothing:
        return _plain_cross_entropy(input, target, ignore_index, reduction, axis)
    logp = log_softmax(input, axis)
    return _nll(logp, target, weight, ignore_index, reduction, label_smoothing, axis)


def _check_labels(name: str, input: Tensor, target: Tensor, axis: int) -> None:
    want = [size for i, size in enumerate(input.shape) if i != axis]
    if list(target.shape) != want:
        raise ValueError(
            f"{name}: Expected target size {want}, got {list(target.shape)} for input "
            f"{list(input.shape)}."
        )


def _kept(target: Tensor, ignore_index: int, classes: int) -> tuple[Tensor, Tensor]:
    """Which labels count, and the labels with a harmless index for the others."""
    target = paddle.cast(target, "int64")
    keep = paddle.not_equal(target, paddle.full([], ignore_index, "int64"))
    safe = paddle.where(keep, target, paddle.zeros_like(target))
    if safe.place.is_cpu_place() and 0 not in safe.shape:
        low, high = int(paddle.min(safe)), int(paddle.max(safe))
        if low < 0 or high >= classes:
            raise IndexError(f"Target {low if low < 0 else high} is out of bounds.")
    return keep, safe


def _plain_cross_entropy(input, target, ignore_index, reduction, axis) -> Tensor:
    keep, safe = _kept(target, ignore_index, input.shape[axis])
    # Paddle's own mean divides by all rows when ignore_index is negative: reduce here.
    loss = paddle.reshape(_fused(input, paddle.unsqueeze(safe, axis), axis), list(safe.shape))
    loss = paddle.where(keep, loss, paddle.zeros_like(loss))
    if reduction == "mean":
        return _sum(loss) / paddle.sum(paddle.cast(keep, loss.dtype))
    return _reduced(loss, reduction)


@lifted
def _fused(x: Tensor, labels: Tensor, axis: int) -> Tensor:
    if not x.place.is_cpu_place():
        return P.cross_entropy(x, labels, reduction="none", axis=axis)
    # Paddle's CPU kernel gives no loss above 64.
    top = paddle.max(x.detach(), axis=axis, keepdim=True)
    total = _sums.total(paddle.exp(paddle.subtract(x, top)), axis, True)
    picked = paddle.take_along_axis(x, labels, axis, broadcast=False)
    return paddle.subtract(paddle.add(paddle.log(total), top), picked)


def _soft_cross_entropy(input, target, weight, reduction, smoothing, axis) -> Tensor:
    classes = input.shape[axis]
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / classes
    terms = paddle.multiply(log_softmax(input, axis), paddle.cast(target, input.dtype))
    if weight is not None:
        terms = paddle.multiply(terms, _along(weight, axis, input.ndim))
    loss = paddle.neg(_sum(terms, axis))
    if reduction == "mean":
        return _sum(loss) / (math.prod(input.shape) / classes)
    return _reduced(loss, reduction)


def _along(weight: Tensor, axis: int, ndim: int) -> Tensor:
    return paddle.reshape(weight, [-1 if i == axis else 1 for i in range(ndim)])


def _nll(logp, target, weight, ignore_index, reduction, smoothing, axis) -> Tensor:
    classes = logp.shape[axis]
    keep, safe = _kept(target, ignore_index, classes)
    picked = paddle.take_along_axis(logp, paddle.unsqueeze(safe, axis), axis, broadcast=False)
    loss = paddle.neg(paddle.squeeze(picked, axis))
    counted = paddle.cast(keep, loss.dtype)
    if weight is not None:
        each = paddle.reshape(paddle.gather(weight, paddle.reshape(safe, [-1])), list(safe.shape))
        counted = paddle.multiply(counted, each)
    loss = paddle.where(keep, paddle.multiply(loss, counted), paddle.zeros_like(loss))
    if smoothing:
        terms = logp if weight is None else paddle.multiply(logp, _along(weight, axis, logp.ndim))
        smooth = paddle.neg(_sum(terms, axis))
        smooth = paddle.where(keep, smooth, paddle.zeros_like(smooth))
        loss = loss * (1.0 - smoothing) + smooth * (smoothing / classes)
    if reduction == "mean":
        return _sum(loss) / _sum(counted)
    return _reduced(loss, reduction)


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """As :func:`cross_entropy` for log-probabilities."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    axis = 1 if input.ndim > 1 else 0
    _check_labels("nll_loss", input, target, axis)
    return _nll(input, target, weight, ignore_index, reduction, 0.0, axis)


def mse_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Squared difference."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    input, target = _same_shape("mse_loss", input, target)
    loss = lifted(paddle.square)(paddle.subtract(input, target))
    return _weighted(loss, weight, reduction)


def l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Absolute difference."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    input, target = _same_shape("l1_loss", input, target)
    return _weighted(paddle.abs(paddle.subtract(input, target)), weight, reduction)


def _weighted(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return _reduced(loss, reduction)
    loss = paddle.multiply(loss, weight)
    return _sum(loss) / _sum(weight) if reduction == "mean" else _reduced(loss, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """Squared below ``beta``, linear above: 0.5 d**2 / beta, d - 0.5 beta."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    input, target = _same_shape("smooth_l1_loss", input, target)
    if beta == 0.0:
        return l1_loss(input, target, reduction=reduction)
    d = paddle.abs(paddle.subtract(input, target))
    loss = paddle.where(d < beta, paddle.square(d) * (0.5 / beta), d - 0.5 * beta)
    return _reduced(loss, reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """0.5 d**2 below ``delta``, delta * (d - 0.5 delta) above."""
    input, target = _same_shape("huber_loss", input, target)
    d = paddle.abs(paddle.subtract(input, target))
    loss = paddle.where(d <= delta, paddle.square(d) * 0.5, (d - 0.5 * delta) * delta)
    return _weighted(loss, weight, reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Cross entropy of probabilities; logarithms are at least -100."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if list(input.shape) != list(target.shape):
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    loss = lifted(P.binary_cross_entropy)(input, target, reduction="none")
    if not target.stop_gradient:  # Paddle's kernel gives the target no gradient
        p = input.detach()
        logs = (paddle.clip(paddle.log(x), min=-100.0) for x in (1.0 - p, p))
        loss = loss + paddle.multiply(target - target.detach(), paddle.subtract(*logs))
    return _reduced(loss if weight is None else paddle.multiply(loss, weight), reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Cross entropy of sigmoid(input); ``pos_weight`` multiplies the positive term."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if list(input.shape) != list(target.shape):
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    target = paddle.cast(target, input.dtype)
    log_p = logsigmoid(input)
    if pos_weight is not None:
        log_p = paddle.multiply(log_p, (paddle.cast(pos_weight, input.dtype) - 1.0) * target + 1.0)
    loss = paddle.subtract(paddle.multiply(1.0 - target, input), log_p)
    return _reduced(loss if weight is None else paddle.multiply(loss, weight), reduction)


def kl_div(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", log_target: bool = False,
) -> Tensor:  # fmt: skip
    """target * (log target - input), input being log-probabilities; also "batchmean"."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_target:
        loss = paddle.multiply(paddle.exp(target), paddle.subtract(target, input))
    else:
        positive = target > 0
        safe = paddle.where(positive, target, paddle.ones_like(target))
        plogp = paddle.where(
            positive, paddle.multiply(target, paddle.log(safe)), paddle.zeros_like(target)
        )
        loss = paddle.subtract(plogp, paddle.multiply(target, input))
    if reduction == "batchmean":
        return _sum(loss) / (input.shape[0] if input.ndim else 1)
    return _reduced(loss, reduction)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
    size_average: Any = None, eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Negative log-likelihood of Poisson counts; ``full`` adds Stirling's term."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_input:
        loss = paddle.exp(input) - paddle.multiply(target, input)
    else:
        loss = input - paddle.multiply(target, paddle.log(input + eps))
    if full:
        safe = paddle.where(target > 1, target, paddle.ones_like(target))
        term = paddle.multiply(target, paddle.log(safe)) - target
        term = term + paddle.log(safe * (2 * math.pi)) * 0.5
        loss = loss + paddle.where(target > 1, term, paddle.zeros_like(term))
    return _reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Negative log-likelihood of ``target`` under normals (mean ``input``, variance ``var``)."""
    var = paddle.full_like(input, var) if not isinstance(var, Tensor) else var
    if var.ndim == input.ndim - 1:
        var = paddle.unsqueeze(var, -1)
    # The floor is a constant to the gradient, as in torch.
    var = var + (paddle.clip(var.detach(), min=eps) - var.detach())
    loss = (paddle.log(var) + paddle.square(input - target) / var) * 0.5
    return _reduced(loss + (0.5 * math.log(2 * math.pi) if full else 0.0), reduction)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Dot product over ``dim`` of the two, each divided by its length (at least ``eps``)."""
    x1, x2 = paddle.broadcast_tensors([x1, x2])
    first, second = (paddle.clip(lifted(_sums.length)(x, dim, True), min=eps) for x in (x1, x2))
    return _sum(paddle.multiply(x1 / first, x2 / second), dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """p-norm over the last axis of ``x1 - x2 + eps``."""
    return paddle.linalg.norm(paddle.subtract(x1, x2) + eps, p=p, axis=-1, keepdim=keepdim)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """1 - cos for target 1; max(0, cos - margin) for target -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    dot = _sum(paddle.multiply(input1, input2), -1)
    lengths = (_sum(paddle.square(x), -1) + 1e-12 for x in (input1, input2))
    cos = dot / paddle.sqrt(paddle.multiply(*lengths))
    zero = paddle.zeros_like(cos)
    loss = paddle.where(target == 1, 1.0 - cos, zero)
    loss = loss + paddle.where(target == -1, P.relu(cos - margin), zero)
    return _reduced(loss, reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, -target * (input1 - input2) + margin)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    gap = paddle.multiply(paddle.cast(target, input1.dtype), paddle.subtract(input2, input1))
    return _reduced(P.relu(gap + margin), reduction)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """input for target 1; max(0, margin - input) for target -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    zero = paddle.zeros_like(input)
    loss = paddle.where(target == -1, zero, input)
    loss = loss + paddle.where(target == 1, zero, P.relu(margin - input))
    return _reduced(loss, reduction)


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = paddle.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced(P.relu(near - far + margin), reduction)
