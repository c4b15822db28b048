"""Rotary position embedding."""

from __future__ import annotations

import paddle

from hfpaddle.core.op import op


@op
def rotary(
    x: paddle.Tensor, cos: paddle.Tensor, sin: paddle.Tensor, interleaved: bool = False
) -> paddle.Tensor:
    """Rotate pairs of the first ``R`` elements of each head by their position's angle.

    Args:
        x: ``[B, N, S, D]``, floating; elements from ``R`` on pass through.
        cos, sin: ``[B or 1, S, R / 2]``, float32: one angle a pair.
        interleaved: pairs are ``(2i, 2i + 1)`` (GPT-J) instead of ``(i, i + R / 2)`` (GPT-NeoX).
    Returns: ``[B, N, S, D]``, dtype of ``x``.
    Source: arXiv:2104.09864, eq. 34.
    """
    half, rest = cos.shape[-1], None
    if x.shape[-1] > 2 * half:
        x, rest = paddle.split(x, [2 * half, x.shape[-1] - 2 * half], axis=-1)
    B, N, S, R = x.shape
    if interleaved:
        x = x.reshape([B, N, S, half, 2]).transpose([0, 1, 2, 4, 3]).reshape([B, N, S, R])
    # Each element times cos, plus its partner times sin: no slices of `x`, whose gradients are
    # filled with zeros, and no broadcasting over heads, which is slow on the CPU.
    cos = paddle.concat([cos, cos], axis=-1).astype(x.dtype)
    sin = paddle.concat([-sin, sin], axis=-1).astype(x.dtype)
    if cos.shape[0] == 1:
        cos, sin = cos.squeeze(0), sin.squeeze(0)
    else:
        cos, sin = (paddle.expand(t.unsqueeze(1), x.shape) for t in (cos, sin))
    out = x * cos + paddle.roll(x, half, axis=-1) * sin
    if interleaved:
        out = out.reshape([B, N, S, 2, half]).transpose([0, 1, 2, 4, 3]).reshape([B, N, S, R])
    return out if rest is None else paddle.concat([out, rest], axis=-1)
