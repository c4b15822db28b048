"""Scaled dot-product attention with grouped key and value heads."""

from __future__ import annotations

from typing import Any, Protocol

import paddle
import paddle.nn.functional as F

from hfpaddle.core.op import op
from hfpaddle.ops.dropout import dropout as drop


class Visibility(Protocol):
    """Which key each query may see, in words; `hfpaddle.layers.masks.AttentionMask` is one.

    Query ``i`` stands at ``offset + i``, key ``j`` at ``key_offset + j``. ``causal``, ``window``
    and ``padding`` (None or ``[B, keys]`` booleans) say all if ``described``; ``key_bias`` comes on
    top.
    """

    queries: int
    keys: int
    offset: int
    key_offset: int
    causal: bool
    window: int | None
    padding: paddle.Tensor | None
    packing: Any
    key_bias: paddle.Tensor | None
    described: bool
    blind: bool

    def dense(self, place: Any) -> paddle.Tensor | None:
        """Return all of it as a bias; afterwards ``blind`` is known."""

    def block(self, place: Any) -> paddle.Tensor | None:
        """Return the bias within the longest packed sample."""


@op
def attention(
    q: paddle.Tensor,
    k: paddle.Tensor,
    v: paddle.Tensor,
    bias: paddle.Tensor | None = None,
    *,
    scale: float,
    softcap: float | None = None,
    dropout: float = 0.0,
    blind: bool = False,
    mask: Visibility | None = None,
    need_weights: bool = True,
) -> tuple[paddle.Tensor, paddle.Tensor | None]:
    """Attention over all heads at once.

    Args:
        q: ``[B, N, S, D]``, floating.
        k: ``[B, K, T, D]`` with ``N`` a multiple of ``K``.
        v: ``[B, K, T, E]``.
        bias: added to the scores before the softmax, broadcastable to ``[B, N, S, T]``; float32.
        scale: multiplies ``q @ k.T``.
        softcap: scores become ``softcap * tanh(scores / softcap)`` before the bias.
        blind: some rows of ``bias`` are minus infinity throughout; these give zeros.
        dropout: probability of dropping a weight; 0 outside training.
        mask: in place of ``bias`` and ``blind``; fast implementations need not build the bias.
        need_weights: whether the second result is wanted; it is None otherwise.
    Returns: ``[B, S, N, E]`` and the weights ``[B, N, S, T]`` (after dropout), dtype of ``q``.
    Source: arXiv:1706.03762, eq. 1; groups arXiv:2305.13245; softcap arXiv:2408.00118.
    """
    if mask is not None:
        bias = mask.dense(q.place)
        blind = mask.blind
    B, N, S, D = q.shape
    K, T = k.shape[1], k.shape[2]
    # Grouped query heads ride along the sequence axis, so keys and values are never repeated.
    grouped = q.reshape([B, K, N // K * S, D])
    scores = paddle.matmul(grouped, k, transpose_y=True).reshape([B, N, S, T]) * scale
    if softcap is not None:
        scores = paddle.tanh(scores / softcap) * softcap
    seeing = None
    if blind and bias is not None:
        # A softmax over minus infinities is NaN, backwards too: give such rows finite scores, then
        # zero their weights.
        seeing = bias.max(axis=-1, keepdim=True) != float("-inf")
        bias = paddle.where(seeing, bias, paddle.zeros_like(bias))
    if bias is not None:
        scores = scores + bias
    weights = F.softmax(scores.astype("float32"), axis=-1)
    if seeing is not None:
        weights = weights * seeing.astype("float32")
    weights = weights.astype(q.dtype)
    if dropout:
        weights = drop(weights, dropout)
    out = paddle.matmul(weights.reshape([B, K, N // K * S, T]), v)
    out = out.reshape([B, N, S, v.shape[-1]]).transpose([0, 2, 1, 3])
    return out, weights if need_weights else None
