"""Layers whose weight is stored in 8 or 4 bits, and how floating weights become that.

Shape letters: B batch, S sequence, H hidden, O out, I in, G groups of columns.
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn
from paddle.base.framework import EagerParamBase

from hfpaddle import ops
from hfpaddle.layers.basic import check_ids
from hfpaddle.layers.parameter import assign
from hfpaddle.ops.quantized import Format, dequantize

_PIECE = 1 << 22  # weights quantised at a time: temporaries stay small beside a large table


def frozen(tensor: paddle.Tensor, size: int) -> paddle.Tensor:
    """Return a parameter that shares ``tensor``'s memory, is not trained, and counts ``size``."""
    param = EagerParamBase(shape=tensor.shape, dtype=tensor.dtype, trainable=False)
    assign(param, tensor)
    param.logical_size = size
    return param


class Quantized(nn.Layer):
    """The stored weight ``[rows, cols]``; see `hfpaddle.ops.quantized.dequantize` for the parts."""

    def __init__(
        self,
        stored: Format,
        cols: int,
        weight: paddle.Tensor,
        scales: paddle.Tensor | None = None,
        zeros: paddle.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.stored, self.rows, self.cols = stored, weight.shape[0], cols
        self.weight = frozen(weight, self.rows * cols)
        self.scales = None if scales is None else frozen(scales, 0)
        self.zeros = None if zeros is None else frozen(zeros, 0)

    def dequantize(self) -> paddle.Tensor:
        """Return the weight's values, ``[rows, cols]`` float32."""
        return dequantize(self.weight, self.scales, self.zeros, self.stored, self.cols)


class QuantizedLinear(Quantized):
    """``y = x @ W.T + bias``; the weight is never unpacked as a whole for a few tokens."""

    def __init__(
        self,
        stored: Format,
        cols: int,
        weight: paddle.Tensor,
        scales: paddle.Tensor | None = None,
        zeros: paddle.Tensor | None = None,
        bias: paddle.Tensor | None = None,
    ) -> None:
        super().__init__(stored, cols, weight, scales, zeros)
        self.in_features, self.out_features = cols, self.rows
        self.bias = bias

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return ops.quantized_linear(x, self.weight, self.scales, self.zeros, self.bias, self.stored)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, stored={self.stored.name}/{self.stored.group}"
        )


class QuantizedEmbedding(Quantized):
    """Table whose rows are unpacked to float32 when they are looked up, then times ``scale``."""

    def __init__(
        self,
        stored: Format,
        cols: int,
        weight: paddle.Tensor,
        padding_idx: int | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__(stored, cols, weight)
        self.num_embeddings, self.embedding_dim = self.rows, cols
        self.padding_idx, self.scale = padding_idx, scale

    def forward(self, ids_BS: paddle.Tensor) -> paddle.Tensor:
        check_ids(ids_BS, self.num_embeddings)
        x_BSH = ops.quantized_rows(
            ids_BS, self.weight, self.scales, self.zeros, self.stored, self.cols
        )
        return x_BSH if self.scale is None else x_BSH * self.scale

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, stored={self.stored.name}"


def has_quantized(model: nn.Layer) -> bool:
    """Tell whether a layer of ``model`` has its weight in 8 or 4 bits."""
    return any(isinstance(layer, Quantized) for layer in model.sublayers(include_self=True))


def quantize(
    values_OI: np.ndarray, bits: int, group: int, symmetric: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Round float32 weights to integers with a scale for each ``group`` columns of a row.

    Symmetric: ``w = scale * q`` with ``|q| <= 127`` or ``-8 <= q <= 7``, the scale taken from the
    largest magnitude. Else (4 bits) ``w = scale * (q - zero)``, 0 to 15, between the least and the
    greatest value of the group, 0 included.

    Returns: bytes as `Format` has them, scales ``[O, G]`` float32, zeros ``[O, G]`` uint8 or None.
    """
    rows, cols = values_OI.shape
    step = max(1, _PIECE // cols)
    pieces = [
        _quantize(values_OI[at : at + step].astype("float32", copy=False), bits, group, symmetric)
        for at in range(0, rows, step)
    ]
    packed, scales, zeros = zip(*pieces, strict=True)
    joined = None if zeros[0] is None else np.concatenate(zeros)
    return np.concatenate(packed), np.concatenate(scales), joined


def _quantize(
    values_OI: np.ndarray, bits: int, group: int, symmetric: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    rows, cols = values_OI.shape
    w = values_OI.reshape(rows, -1, group)
    zeros, least = None, np.float32(0)
    if symmetric:
        most = 127 if bits == 8 else 7
        scales = np.abs(w).max(-1) / np.float32(most)
    else:
        least, greatest = np.minimum(w.min(-1), 0), np.maximum(w.max(-1), 0)
        scales = (greatest - least) / np.float32(15)
    scales = np.where(scales > 0, scales, 1).astype(np.float32)  # a group of zeros
    q = np.rint(w / scales[..., None])
    if bits == 8:
        return q.astype(np.int8).reshape(rows, cols).view(np.uint8), scales, None
    if symmetric:
        q += 8
    else:
        zeros = np.rint(-least / scales).astype(np.uint8)
        q += zeros[..., None]
    q = np.clip(q, 0, 15).astype(np.uint8).reshape(rows, cols)
    if cols % 64:
        q = np.pad(q, ((0, 0), (0, -cols % 64)))
    halves = q.reshape(rows, -1, 2, 32)
    packed = (halves[:, :, 0] | halves[:, :, 1] << 4).reshape(rows, -1)
    return np.ascontiguousarray(packed), scales, zeros
