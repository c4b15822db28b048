"""Losses of ``torch.nn.functional`` that few scripts use, and CTC."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as P

from hfpaddle.torch import _sums
from hfpaddle.torch._half import lifted
from hfpaddle.torch.nn._activation import logsigmoid
from hfpaddle.torch.nn._loss import _reduced, legacy_reduction

Tensor = paddle.Tensor

__all__ = [
    "ctc_loss", "multi_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip


def _integers(value: Any) -> list[int]:
    return [int(v) for v in (value.tolist() if isinstance(value, Tensor) else value)]


def _padded(targets: Tensor, lengths: list[int]) -> np.ndarray:
    """Labels ``[N, S]`` of a matrix, or of sequences one after the other."""
    labels = np.asarray(targets.detach())
    if labels.ndim == 2:
        return labels
    rows = np.zeros([len(lengths), max([1, *lengths])], labels.dtype)
    at = 0
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = labels[at : at + length]
        at += length
    return rows


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Connectionist temporal classification. Source: Graves et al. (2006).

    Args:
        log_probs: ``[T, N, C]`` or ``[T, C]``, of log_softmax: the gradient takes that for granted,
            as torch's.
        targets: ``[N, S]``, or all labels in one dimension.
        input_lengths, target_lengths: of each sample.
    Returns: a scalar, or ``[N]`` for "none"; "mean" divides each loss by its target's length first.
        Infinite where no alignment exists, and 0 there with ``zero_infinity``.
    """
    single = log_probs.ndim == 2
    if single:
        log_probs = paddle.unsqueeze(log_probs, 1)
        input_lengths = [int(v) for v in np.atleast_1d(np.asarray(input_lengths))]
        target_lengths = [int(v) for v in np.atleast_1d(np.asarray(target_lengths))]
    frames, lengths = _integers(input_lengths), _integers(target_lengths)
    if len(frames) != log_probs.shape[1] or len(lengths) != log_probs.shape[1]:
        raise RuntimeError("input_lengths and target_lengths must be of size batch_size")
    if max(frames) > log_probs.shape[0]:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {log_probs.shape[0]}, but got value "
            f"{max(frames)}"
        )
    labels = _padded(targets, lengths)
    loss = _ctc(log_probs, labels, frames, lengths, blank)
    repeats = [int((row[1:n] == row[: n - 1]).sum()) if n else 0
               for row, n in zip(labels, lengths, strict=True)]  # fmt: skip
    fits = [t >= n + r for t, n, r in zip(frames, lengths, repeats, strict=True)]
    if not all(fits):
        other = paddle.full_like(loss, 0.0 if zero_infinity else math.inf)
        loss = paddle.where(paddle.to_tensor(fits), loss, other)
    if reduction == "mean":
        count = paddle.to_tensor([max(n, 1) for n in lengths], dtype=loss.dtype)
        return _sums.average(paddle.divide(loss, count))
    return _reduced(paddle.squeeze(loss, 0) if single else loss, reduction)


@lifted
def _ctc(log_probs: Tensor, labels: Any, frames: list, lengths: list, blank: int) -> Tensor:
    made = [paddle.to_tensor(v, dtype="int64") for v in (frames, lengths)]
    labels = paddle.to_tensor(labels, dtype="int32")
    return paddle.reshape(P.ctc_loss(log_probs, labels, *made, blank, "none"), [-1])


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """log(1 + exp(-target * input)), target 1 or -1."""
    loss = paddle.neg(logsigmoid(paddle.multiply(input, paddle.cast(target, input.dtype))))
    return _reduced(loss, legacy_reduction(size_average, reduce, reduction))


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Mean over the classes of the binary cross entropy with logits."""
    target = paddle.cast(target, input.dtype)
    loss = paddle.multiply(target, logsigmoid(input))
    loss = paddle.neg(loss + paddle.multiply(1 - target, logsigmoid(paddle.neg(input))))
    if weight is not None:
        loss = paddle.multiply(loss, weight)
    loss = _sums.average(loss, -1)
    return _reduced(loss, legacy_reduction(size_average, reduce, reduction))


def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Mean over the other classes of max(0, margin - x[target] + x[class]) ** p."""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    single = input.ndim == 1
    x = paddle.unsqueeze(input, 0) if single else input
    labels = paddle.reshape(paddle.cast(target, "int64"), [-1, 1])
    right = paddle.take_along_axis(x, labels, 1, broadcast=False)
    gap = paddle.clip(margin - right + x, min=0.0)
    gap = paddle.multiply(gap, gap) if p == 2 else gap
    if weight is not None:
        gap = paddle.multiply(gap, paddle.reshape(paddle.gather(weight, labels), [-1, 1]))
    others = 1 - paddle.cast(P.one_hot(paddle.squeeze(labels, 1), x.shape[1]), gap.dtype)
    loss = paddle.sum(paddle.multiply(gap, others), axis=1) / x.shape[1]
    loss = paddle.squeeze(loss, 0) if single else loss
    return _reduced(loss, legacy_reduction(size_average, reduce, reduction))


def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *, distance_function: Any = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, distance to the positive - distance to the negative + margin)."""
    from hfpaddle.torch.nn._loss import pairwise_distance

    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = paddle.minimum(far, distance(positive, negative))
    return _reduced(paddle.clip(near - far + margin, min=0.0), reduction)
