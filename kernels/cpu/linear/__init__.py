"""The product with a weight as it is stored, widened in registers or, for many tokens, in caches.

For a few tokens the time is that of reading the weight. Widening a bfloat16 weight to float32
first, as the reference does, moves five times its bytes.
"""

from __future__ import annotations

import ctypes

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.library import library
from hfpaddle.kernels.cpu.linear import halves  # noqa: F401  registers itself
from hfpaddle.kernels.cpu.linear.matrix import Matrix, matrix
from hfpaddle.kernels.cpu.memory import empty

# Storage formats.
STORED = (paddle.bfloat16, paddle.float16)
# Paddle's own product with a float32 weight is at the limits but for this many rows of a large
# weight, where it reaches a third of the memory's bandwidth.
FEW = range(2, 17)
LARGE = 1 << 20

_linear = library().hf_linear  # type: ignore[union-attr]
_linear.argtypes = [ctypes.POINTER(Matrix), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
_linear.restype = None


def infers(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None = None) -> bool:
    """Whether this implementation takes the call: inference, with a half type or a few rows."""
    if paddle.is_grad_enabled() and not (x.stop_gradient and weight.stop_gradient):
        return False
    if x.size == 0 or x.shape[-1] != weight.shape[1]:
        return False
    if weight.dtype == paddle.float32:
        return x.size // x.shape[-1] in FEW and weight.size >= LARGE
    return weight.dtype in STORED


@implements(ops.linear, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=infers,
            rtol={"float32": 1e-5})  # fmt: skip
def linear_cpu(
    x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None = None
) -> paddle.Tensor:
    x = x.contiguous()
    weight = weight.contiguous()
    if bias is not None:
        bias = bias.astype("float32").contiguous()
    out = empty([*x.shape[:-1], weight.shape[0]])
    w = matrix(weight, bias)
    _linear(w, x.data_ptr(), out.data_ptr(), x.size // x.shape[-1])
    return out
