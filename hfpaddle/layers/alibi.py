"""Linear position biases: each head prefers near keys by a slope of its own.

Source: arXiv:2108.12409. The bias depends on the key's position alone: a softmax ignores what all
keys of a query have in common.
Shape letters: B batch, N heads, S queries, T keys.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.masks import AttentionMask


def alibi_slopes(num_heads: int) -> np.ndarray:
    """Return each head's slope, float32 ``[N]``: a geometric series, filled from the next one."""
    whole = 2 ** math.floor(math.log2(num_heads))

    def series(heads: int, powers: range) -> np.ndarray:
        base = np.float32(2.0 ** -(2.0 ** -(math.log2(heads) - 3)))
        return base ** np.asarray(powers, dtype=np.float32)

    slopes = series(whole, range(1, 1 + whole))
    rest = num_heads - whole
    if not rest:
        return slopes
    return np.concatenate([slopes, series(2 * whole, range(1, 1 + 2 * rest, 2))])


def alibi_positions(padding_BT: paddle.Tensor | None, keys: int, place: Any) -> paddle.Tensor:
    """Return the keys' positions ``[B or 1, T]`` int64, counted over real tokens; padding gets 0.

    Raises: UnsupportedArgumentError unless the mask is 2-D, since a 4-D one does not tell.
    """
    if padding_BT is None:
        return paddle.arange(keys, dtype="int64").unsqueeze(0).to(place)
    if padding_BT.ndim != 2:
        raise UnsupportedArgumentError(
            f"attention_mask has shape {list(padding_BT.shape)}: models with alibi positions need "
            "[batch, tokens], from which positions are counted."
        )
    mask_BT = (padding_BT != 0).astype("int64")
    positions_BT = (mask_BT.cumsum(axis=1) - 1) * mask_BT
    missing = keys - positions_BT.shape[1]
    return F.pad(positions_BT, [0, missing]) if missing > 0 else positions_BT[:, :keys]


def with_alibi(mask: AttentionMask, alibi_BNT: paddle.Tensor) -> AttentionMask:
    """Return ``mask`` with a bias for each head and key added to what it hides.

    Every packed sample gets that of the first keys.
    """
    if mask.described:
        packing = mask.packing
        mask.key_bias = alibi_BNT if packing is None else alibi_BNT[:, :, : packing.longest]
        return mask
    dense = mask.dense(alibi_BNT.place)
    bias = alibi_BNT.unsqueeze(2) if dense is None else dense + alibi_BNT.unsqueeze(2)
    return AttentionMask(mask.queries, mask.keys, bias=bias)
