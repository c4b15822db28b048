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
    half = cos.shape[-1]
    rotated, rest = x[..., : 2 * half], x[..., 2 * half :]
    cos = cos.unsqueeze(1).astype(x.dtype)
    sin = sin.unsqueeze(1).astype(x.dtype)
    if interleaved:
        first, second = rotated[..., 0::2], rotated[..., 1::2]
        pair = paddle.stack([first * cos - second * sin, second * cos + first * sin], axis=-1)
        out = pair.flatten(-2)
    else:
        first, second = rotated[..., :half], rotated[..., half:]
        out = paddle.concat([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return paddle.concat([out, rest], axis=-1) if rest.shape[-1] else out
