"""Small tensor helpers of generate: everything stays on the device of the tensors given.

Shape letters: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle

NEG_INF = -float("inf")
# Rows are summed in blocks of this size: Paddle's CPU sum adds floats one after another, which
# costs up to 4e-4 of a sum over 256000 entries.
_BLOCK = 512


def beside(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    """Return ``x`` on the device of ``like``; itself if it is there, which costs `to` 50 us."""
    return x if x.place._equals(like.place) else x.to(like.place)


def full(shape: Sequence[int], value: float, dtype: str, like: paddle.Tensor) -> paddle.Tensor:
    """Return a constant tensor on the device of ``like``."""
    return beside(paddle.full(list(shape), value, dtype=dtype), like)


def arange(stop: int, like: paddle.Tensor) -> paddle.Tensor:
    """Return int64 ``0 .. stop-1`` on the device of ``like``."""
    return beside(paddle.arange(stop, dtype="int64"), like)


def token_ids(tokens: int | Sequence[int] | paddle.Tensor) -> paddle.Tensor:
    """Return token ids as a 1-D tensor: int64, or floating if floats were given."""
    if not isinstance(tokens, paddle.Tensor):
        array = np.asarray([tokens] if isinstance(tokens, (int, float)) else list(tokens))
        tokens = paddle.to_tensor(array.astype("int64") if array.dtype.kind in "iub" else array)
    return tokens.reshape([-1])


def is_floating(x: paddle.Tensor) -> bool:
    """True if ``x`` holds floating-point numbers."""
    return paddle.is_floating_point(x)


def isin(x: paddle.Tensor, values: paddle.Tensor) -> paddle.Tensor:
    """Return a boolean for each entry of ``x``: is it among the 1-D ``values``?"""
    values = beside(values, x).astype(x.dtype).reshape([-1])
    return paddle.any(x.unsqueeze(-1) == values, axis=-1)


def token_mask(tokens: paddle.Tensor, scores_BV: paddle.Tensor) -> paddle.Tensor:
    """Return ``[V]`` booleans that mark ``tokens``."""
    return isin(arange(scores_BV.shape[-1], scores_BV), tokens)


class Hidden:
    """Tokens that stay the same, hidden from the scores of all steps of a generation."""

    def __init__(self) -> None:
        self._known: tuple[tuple, paddle.Tensor, paddle.Tensor] | None = None

    def hide(self, tokens: paddle.Tensor, scores_BV: paddle.Tensor) -> paddle.Tensor:
        """Return the scores with minus infinity for ``tokens``."""
        rows, words = scores_BV.shape
        # Ids may be floats, and need not be words, as in transformers: then they meet none.
        found = [token for token in tokens.reshape([-1]).tolist() if 0 <= token < words]
        which = [int(token) for token in found if token == int(token)]
        if not which:
            return scores_BV
        key = (rows, scores_BV.dtype, str(scores_BV.place), which)
        if self._known is None or self._known[0] != key:
            index = beside(paddle.to_tensor([which] * rows, dtype="int64"), scores_BV)
            self._known = (key, index, full(index.shape, NEG_INF, scores_BV.dtype, scores_BV))
        return put(scores_BV, self._known[1], self._known[2])


def fill(scores: paddle.Tensor, mask: paddle.Tensor, value: float) -> paddle.Tensor:
    """Return ``scores`` with ``value`` where ``mask`` (broadcast) holds."""
    return paddle.where(mask, full([1], value, scores.dtype, scores), scores)


def put(x: paddle.Tensor, index: paddle.Tensor, values: paddle.Tensor) -> paddle.Tensor:
    """Return ``x`` with ``x[b, index[b, i]] = values[b, i]``."""
    return paddle.put_along_axis(x, index, values, axis=1, broadcast=False)


def mark(shape: Sequence[int], index: paddle.Tensor, on: paddle.Tensor) -> paddle.Tensor:
    """Return booleans of ``shape`` with ``on[b, i]`` at ``[b, index[b, i]]``, False elsewhere.

    Where an index repeats, only equal values of ``on`` give a defined result.
    """
    # put_along_axis has no boolean kernel.
    return put(full(shape, 0, "int32", index), index, on.astype("int32")) != 0


def gather(x: paddle.Tensor, index: paddle.Tensor) -> paddle.Tensor:
    """Return ``x[b, index[b, i]]``."""
    return paddle.take_along_axis(x, index, axis=1, broadcast=False)


def row_sum(x: paddle.Tensor) -> paddle.Tensor:
    """Sum the last axis, kept, in blocks so that rounding does not grow with its length."""
    whole = x.shape[-1] // _BLOCK * _BLOCK
    if whole == 0:
        return paddle.sum(x, axis=-1, keepdim=True)
    blocks = x[..., :whole].reshape([*x.shape[:-1], -1, _BLOCK])
    total = paddle.sum(paddle.sum(blocks, axis=-1), axis=-1, keepdim=True)
    if whole == x.shape[-1]:
        return total
    return total + paddle.sum(x[..., whole:], axis=-1, keepdim=True)


def softmax(x: paddle.Tensor) -> paddle.Tensor:
    """Softmax over the last axis, whose sum is put right with `row_sum`."""
    p = paddle.nn.functional.softmax(x, axis=-1)
    return p / row_sum(p)


def log_softmax(x: paddle.Tensor) -> paddle.Tensor:
    """Logarithm of `softmax`, with the original's order of operations."""
    p = paddle.nn.functional.softmax(x, axis=-1)
    # The likeliest entry is 1 / sum(exp(x - max)), from which that sum comes without another exp.
    total = row_sum(p) / paddle.max(p, axis=-1, keepdim=True)
    return x - paddle.max(x, axis=-1, keepdim=True) - paddle.log(total)


def cumulative(x: paddle.Tensor) -> paddle.Tensor:
    """Running sum over the last axis; added up in float64, as the original's CPU kernel does."""
    return paddle.cumsum(x.astype("float64"), axis=-1).astype(x.dtype)


def entropy(scores: paddle.Tensor) -> paddle.Tensor:
    """Entropy in nats of the distribution that ``[..., V]`` scores give, ``[..., 1]``."""
    log_p = log_softmax(scores)
    # Paddle's exp does not reach 0 on CPU, so -inf has to be taken out, not multiplied away.
    terms = fill(log_p * paddle.exp(log_p), log_p == NEG_INF, 0.0)
    return -row_sum(terms)


def topk(x: paddle.Tensor, k: int) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Largest ``k`` of the last axis and their places, ties in the original's order on CPU."""
    values, index = paddle.topk(x, k, axis=-1)
    return values, index
