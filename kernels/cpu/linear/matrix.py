"""The C++ side's description of a weight; see matrix.h."""

from __future__ import annotations

import ctypes

import paddle

KINDS = {"float32": 0, "bfloat16": 1, "float16": 2}


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
