"""The C++ side's description of a weight; see matrix.h."""

from __future__ import annotations

import ctypes

import paddle

from hfpaddle.ops.quantized import Format

KINDS = {"float32": 0, "bfloat16": 1, "float16": 2}
QUANTIZED = {
    **{"int8": 3, "int4": 4},
    **{"Q4_0": 5, "Q8_0": 6, "Q4_K": 7, "Q5_K": 8, "Q6_K": 9, "Q5_0": 10},
}


class Matrix(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("zeros", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("cols", ctypes.c_int64),
        ("kind", ctypes.c_int32),
        ("group", ctypes.c_int32),
    ]


def matrix(weight: paddle.Tensor, bias: paddle.Tensor | None = None) -> Matrix:
    """Describe a contiguous floating weight ``[rows, cols]`` and its float32 bias.

    The tensors must outlive the description, which holds their addresses.
    """
    rows, cols = weight.shape
    kind = KINDS[str(weight.dtype).removeprefix("paddle.")]
    address = None if bias is None else bias.data_ptr()
    return Matrix(weight.data_ptr(), None, None, address, rows, cols, kind, 0)


def reads(stored: Format, cols: int, weight: paddle.Tensor, *parts: paddle.Tensor | None) -> bool:
    """Whether the kernels read a weight of this format and its scales and zeros as they are."""
    if stored.name not in QUANTIZED or cols % (stored.group if stored.bytes else 64):
        return False
    if not stored.bytes and (cols % stored.group or stored.group % 32):
        return False
    if not stored.bytes and stored.group & (stored.group - 1) and stored.group != cols:
        return False
    if any(p is not None and not p.is_contiguous() for p in (weight, *parts)):
        return False
    return not parts or parts[0] is None or parts[0].dtype == paddle.float32


def quantized_matrix(
    stored: Format,
    cols: int,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    bias: int | None = None,
    begin: int = 0,
    end: int | None = None,
) -> Matrix:
    """Describe rows ``begin`` to ``end`` of a weight that `reads` accepts.

    ``bias`` is the address of these rows' own, float32. The tensors must outlive the description.
    """
    end = weight.shape[0] if end is None else end
    groups = 0 if scales is None else scales.shape[1]
    return Matrix(
        weight.data_ptr() + begin * weight.shape[1],
        None if scales is None else scales.data_ptr() + begin * groups * 4,
        None if zeros is None else zeros.data_ptr() + begin * groups,
        bias,
        end - begin,
        cols,
        QUANTIZED[stored.name],
        stored.group,
    )
