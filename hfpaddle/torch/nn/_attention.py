"""Attention of ``torch.nn.functional``.

Shape letters: B batch, N heads, S query length, T key length, D head size, E embedding size.
"""

from __future__ import annotations

import math
from typing import Any

import paddle

from hfpaddle import ops
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.masks import AttentionMask
from hfpaddle.torch._half import lifted
from hfpaddle.torch.nn._activation import dropout, softmax
from hfpaddle.torch.nn._norm import linear

Tensor = paddle.Tensor

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def _causal(s: int, t: int) -> Tensor:
    return paddle.tril(paddle.ones([s, t], dtype="bool"))


def _additive(mask: Tensor, dtype: Any) -> Tensor:
    """0 where a bool mask is True, minus infinity elsewhere; a floating mask is its own."""
    if mask.dtype is not paddle.bool:
        return mask
    zero = paddle.zeros(list(mask.shape), dtype)
    return paddle.where(mask, zero, paddle.full_like(zero, float("-inf")))


@lifted
def _weights(q: Tensor, k: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    scores = paddle.matmul(q * scale, k, transpose_y=True)
    if bias is None:
        return softmax(scores, -1)
    scores = paddle.add(scores, paddle.cast(bias, scores.dtype))
    # A row that sees nothing is zero in torch; a softmax of minus infinities is NaN, backwards too.
    blind = paddle.max(scores, axis=-1, keepdim=True) == float("-inf")
    if bool(paddle.any(blind)):
        weights = softmax(paddle.where(blind, paddle.zeros_like(scores), scores), -1)
        return paddle.where(blind, paddle.zeros_like(weights), weights)
    return softmax(scores, -1)


_matmul = lifted(paddle.matmul)


def _by_kernel(q, k, v, mask, causal: bool, scale: float, gqa: bool) -> Tensor | None:
    """The result of a kernel for this device, or None if none takes the call."""
    if q.ndim != 4 or k.ndim != 4 or v.ndim != 4 or not (gqa or q.shape[1] == k.shape[1]):
        return None
    rest: dict[str, Any] = {"scale": scale, "need_weights": False}
    bias = None
    if causal:
        rest["mask"] = AttentionMask(q.shape[2], k.shape[2])
    elif mask is not None:
        bias = _additive(mask, q.dtype)
        bias = paddle.reshape(bias, [1] * (4 - bias.ndim) + list(bias.shape))
    chosen = ops.attention.choose(q, k, v, bias, **rest)
    if chosen is ops.attention.reference:
        return None
    return paddle.transpose(chosen(q, k, v, bias, **rest)[0], [0, 2, 1, 3])


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """softmax(query @ key.T * scale + mask) @ value.

    Args:
        query: ``[..., N, S, D]``.
        key: ``[..., N, T, D]``; with ``enable_gqa`` its N may divide the query's.
        value: ``[..., N, T, Dv]``.
        attn_mask: broadcastable to ``[..., N, S, T]``; bool (True is seen) or added.
    Returns: ``[..., N, S, Dv]``.
    """
    if attn_mask is not None and is_causal:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    if not dropout_p:
        out = _by_kernel(query, key, value, attn_mask, is_causal, scale, enable_gqa)
        if out is not None:
            return out
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        times = query.shape[-3] // key.shape[-3]
        key = paddle.repeat_interleave(key, times, axis=key.ndim - 3)
        value = paddle.repeat_interleave(value, times, axis=value.ndim - 3)
    if is_causal:
        attn_mask = _causal(query.shape[-2], key.shape[-2])
    bias = None if attn_mask is None else _additive(attn_mask, query.dtype)
    weights = _weights(query, key, bias, scale)
    return _matmul(dropout(weights, dropout_p, training=dropout_p > 0.0), value)


def _projected(query, key, value, embed_dim, weight, bias, separate) -> list[Tensor]:
    if weight is not None:
        weights = paddle.split(weight, 3, axis=0)
    else:
        weights = list(separate)
    biases = [None] * 3 if bias is None else paddle.split(bias, 3, axis=0)
    return [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]


def _merged_mask(attn_mask, key_padding_mask, dtype, heads: int) -> Tensor | None:
    """One additive mask ``[B or 1, N or 1, S, T]`` of what torch calls masks: True is hidden."""

    def additive(mask: Tensor) -> Tensor:
        visible = paddle.logical_not(mask) if mask.dtype is paddle.bool else mask
        return _additive(visible, dtype)

    merged = None
    if attn_mask is not None:
        merged = additive(attn_mask)
        if merged.ndim == 3:
            merged = paddle.reshape(merged, [-1, heads, *merged.shape[-2:]])
    if key_padding_mask is not None:
        padding = paddle.unsqueeze(additive(key_padding_mask), [1, 2])
        merged = padding if merged is None else paddle.add(merged, padding)
    return merged


def _extra_keys(B, bias_k, bias_v, zero, E, dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values ``[1, B, E]`` that follow the projected ones: learnt, zero, or both."""
    keys, values = [], []
    if bias_k is not None and bias_v is not None:
        keys.append(paddle.expand(bias_k, [1, B, E]))
        values.append(paddle.expand(bias_v, [1, B, E]))
    if zero:
        keys.append(paddle.zeros([1, B, E], dtype))
        values.append(keys[-1])
    return keys, values


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None,
    bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
    out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
    need_weights: bool = True, attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None,
    static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attention with projections; query ``[S, B, E]``, key and value ``[T, B, .]``, or without B.

    Returns: ``[S, B, E]`` and the weights ``[B, S, T]`` (``[B, N, S, T]`` if not averaged) or None.
    """
    if static_k is not None or static_v is not None:
        raise UnsupportedArgumentError(
            "multi_head_attention: static_k and static_v have no implementation here. Pass the "
            "keys and values with their projections."
        )
    unbatched = query.ndim == 2
    if unbatched:
        query, key, value = (paddle.unsqueeze(x, 1) for x in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = paddle.unsqueeze(key_padding_mask, 0)
    S, B, E = query.shape
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else ()
    packed = None if use_separate_proj_weight else in_proj_weight
    projected = _projected(query, key, value, E, packed, in_proj_bias, separate)
    extra = _extra_keys(B, bias_k, bias_v, add_zero_attn, E, projected[1].dtype)
    projected[1:] = [
        paddle.concat([x, *more]) if more else x
        for x, more in zip(projected[1:], extra, strict=True)
    ]
    q, k, v = (
        paddle.transpose(paddle.reshape(x, [x.shape[0], B, num_heads, -1]), [1, 2, 0, 3])
        for x in projected
    )
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    mask = _merged_mask(attn_mask, key_padding_mask, q.dtype, num_heads)
    if mask is not None and extra[0]:  # the added keys are seen by all
        mask = paddle.concat(
            [mask, paddle.zeros([*mask.shape[:-1], len(extra[0])], mask.dtype)], -1
        )
    weights = _weights(q, k, mask, 1.0 / math.sqrt(E // num_heads))
    weights = dropout(weights, dropout_p, training=training)
    out = paddle.transpose(_matmul(weights, v), [2, 0, 1, 3])
    out = linear(paddle.reshape(out, [S, B, E]), out_proj_weight, out_proj_bias)
    shown = paddle.mean(weights, axis=1) if average_attn_weights else weights
    if unbatched:
        out, shown = paddle.squeeze(out, 1), paddle.squeeze(shown, 0)
    return out, shown if need_weights else None
