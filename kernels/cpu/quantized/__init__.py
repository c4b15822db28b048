"""Products with weights of 8 and 4 bits, read as they are stored.

The stored form is multiplied directly (`hf_linear`), with activations rounded to 8 bits in groups
of 32: for a few tokens that saves bytes, which limit them, and for many arithmetic. Levels without
VNNI unpack a panel of rows at a time to float32 for many tokens, and round nothing. Where gradients
are enabled the weight is unpacked, by all threads, for Paddle's own product, forward and backward.
"""

from __future__ import annotations

import ctypes

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.library import library
from hfpaddle.kernels.cpu.linear import _linear
from hfpaddle.kernels.cpu.linear.matrix import Matrix, quantized_matrix, reads
from hfpaddle.kernels.cpu.memory import empty
from hfpaddle.ops.frozen import frozen_product
from hfpaddle.ops.quantized import Format, check_ids

# Unpacked at a time: 256 MB of float32, so that the head of a large vocabulary costs no more.
MOST_WEIGHTS = 1 << 26

_rows = library().hf_rows  # type: ignore[union-attr]
_rows.argtypes = [ctypes.POINTER(Matrix), ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
_rows.restype = None


def multiplies(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    bias: paddle.Tensor | None,
    stored: Format,
) -> bool:
    """Whether this implementation takes the call."""
    return x.size > 0 and reads(stored, x.shape[-1], weight, scales, zeros)


# Activations of 8 bits: see the measured errors in docs/loading.md.
@implements(ops.quantized_linear, name="cpu", devices=("cpu",), dtypes=("float32",),
            accepts=multiplies, rtol={"float32": 2e-2})  # fmt: skip
def quantized_linear_cpu(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    bias: paddle.Tensor | None,
    stored: Format,
) -> paddle.Tensor:
    cols = x.shape[-1]
    tokens = x.size // cols
    if paddle.is_grad_enabled():  # also for an input without one: a loss rounds in no layer
        return _learned(x, weight, scales, zeros, bias, stored)
    x = x.contiguous()
    bias = None if bias is None else bias.astype("float32").contiguous()
    address = None if bias is None else bias.data_ptr()
    w = quantized_matrix(stored, cols, weight, scales, zeros, address)
    out = empty([*x.shape[:-1], weight.shape[0]])
    _linear(w, x.data_ptr(), out.data_ptr(), tokens)
    return out


def _learned(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    bias: paddle.Tensor | None,
    stored: Format,
) -> paddle.Tensor:
    cols, rows = x.shape[-1], weight.shape[0]

    def piece(begin: int, end: int) -> paddle.Tensor:
        w = quantized_matrix(stored, cols, weight, scales, zeros, None, begin, end)
        values = empty([end - begin, cols])
        _rows(w, None, end - begin, values.data_ptr())
        return values

    def product(x: paddle.Tensor) -> paddle.Tensor:
        step = max(1, MOST_WEIGHTS // cols)
        parts = [
            paddle.matmul(x, piece(begin, min(begin + step, rows)), transpose_y=True)
            for begin in range(0, rows, step)
        ]
        return parts[0] if len(parts) == 1 else paddle.concat(parts, axis=-1)

    out = product(x) if x.stop_gradient else frozen_product(x, product, piece)
    return out if bias is None else out + bias.astype("float32")


def looks_up(
    ids: paddle.Tensor,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    stored: Format,
    cols: int,
) -> bool:
    """Whether this implementation takes the call."""
    return ids.size > 0 and reads(stored, cols, weight, scales, zeros)


@implements(ops.quantized_rows, name="cpu", devices=("cpu",), dtypes=("int64",),
            accepts=looks_up, rtol={"int64": 1e-6})  # fmt: skip
def quantized_rows_cpu(
    ids: paddle.Tensor,
    weight: paddle.Tensor,
    scales: paddle.Tensor | None,
    zeros: paddle.Tensor | None,
    stored: Format,
    cols: int,
) -> paddle.Tensor:
    check_ids(ids, weight.shape[0])
    ids = ids.contiguous()
    w = quantized_matrix(stored, cols, weight, scales, zeros)
    out = empty([*ids.shape, cols])
    _rows(w, ids.data_ptr(), ids.size, out.data_ptr())
    return out
