"""Products with weights that are stored in 8 or 4 bits, and rows of such tables.

A weight ``[R, C]`` lies in memory as ``[R, bytes of a row]`` uint8; what the bytes mean is a
`Format`. The references unpack it to float32, which defines what is correct: activations are not
rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import paddle

from hfpaddle.core.op import op


@dataclass(frozen=True)
class Format:
    """What the bytes of a row mean.

    Attributes:
        name: "int8" (one signed byte a column), "int4" (of each 64 columns 32 bytes: the first 32
            columns in the low halves, the others in the high ones) or GGUF's name of its blocks.
        group: columns that share a scale, or that a block holds.
        bytes: of one block; 0 for the integers, whose scales lie apart.
        unpack: blocks ``[R, bytes of a row]`` to float32 of ``[R, C]``.
    """

    name: str
    group: int
    bytes: int = 0
    unpack: Callable[[np.ndarray], np.ndarray] | None = field(default=None, compare=False)

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of ``cols`` columns."""
        if self.bytes:
            return cols // self.group * self.bytes
        return cols if self.name == "int8" else -(-cols // 64) * 32


def dequantize(
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    stored: Format,
    cols: int,
) -> paddle.Tensor:
    """Return the values ``[R, cols]`` float32.

    Args:
        weight: ``[R, row_bytes]`` uint8.
        scales: ``[R, cols / group]`` float32; None for blocks, which hold their own.
        zeros: the integers that mean 0, ``[R, cols / group]`` uint8; None: 8. For "int4" alone.
    """
    if stored.unpack is not None:
        values = stored.unpack(weight.numpy()).reshape(weight.shape[0], cols)
        return paddle.to_tensor(values, place=weight.place)
    assert scales is not None
    if stored.name == "int8":
        q = weight.astype("int32")
        q = (q - 256 * (q > 127).astype("int32")).astype("float32")
    else:
        q = weight.astype("int32").reshape([weight.shape[0], -1, 1, 32])
        q = paddle.concat([q % 16, q // 16], axis=2).flatten(1)[:, :cols].astype("float32")
    groups = q.reshape([q.shape[0], -1, stored.group])
    if stored.name == "int4":
        groups = groups - (8.0 if zeros is None else zeros.astype("float32").unsqueeze(-1))
    return (groups * scales.astype("float32").unsqueeze(-1)).flatten(1)


@op
def quantized_linear(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    bias: paddle.Tensor | None,
    stored: Format,
) -> paddle.Tensor:
    """``x @ W.T + bias`` in float32, where ``W`` ``[O, I]`` is what the bytes mean.

    Args:
        x: ``[..., I]``, floating.
        weight, scales, zeros: see `dequantize`; no gradient reaches them.
        bias: ``[O]`` or None.
    Returns: ``[..., O]``, dtype of ``x``.
    """
    w = dequantize(weight, scales, zeros, stored, x.shape[-1])
    out = paddle.matmul(x.astype("float32"), w, transpose_y=True)
    if bias is not None:
        out = out + bias.astype("float32")
    return out.astype(x.dtype)


@op
def quantized_rows(
    ids: paddle.Tensor,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    stored: Format,
    cols: int,
) -> paddle.Tensor:
    """Look up rows of a table. Returns ``[*ids.shape, cols]`` float32; see `dequantize`."""
    flat = ids.flatten()

    check_ids(flat, weight.shape[0])
    # index_select takes no uint8.
    scales = None if scales is None else paddle.gather(scales, flat)
    zeros = None if zeros is None else paddle.gather(zeros, flat)
    picked = dequantize(paddle.gather(weight, flat), scales, zeros, stored, cols)
    return picked.reshape([*ids.shape, cols])


def check_ids(ids: paddle.Tensor, rows: int) -> None:
    """Raise ValueError, as Paddle's embedding does, for an id outside ``[0, rows)``."""
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < rows:
        raise ValueError(
            f"quantized_rows: ids reach from {int(ids.min())} to {int(ids.max())}, but the table "
            f"has rows 0 to {rows - 1}."
        )
