"""Linear layers of float32 whose products are rounded to bfloat16, forward and backward.

For training with ``bf16=True``: weights, their gradients and all results stay float32.
"""

from __future__ import annotations

from ctypes import c_int, c_int64, c_void_p
from typing import Any

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.autograd import sources, wanted
from hfpaddle.kernels.cpu.library import function, level
from hfpaddle.kernels.cpu.memory import empty
from hfpaddle.ops.precision import product_dtype, register_half_products

Tensor = paddle.Tensor

_multiply = function("hf_multiply_halves", *[c_void_p, c_int] * 2, c_void_p, *[c_int64] * 3)

register_half_products("cpu", lambda: level() == "avx512amx")


def multiply(a: Tensor, across_a: bool, b: Tensor, across_b: bool, shape: list[int]) -> Tensor:
    """Return ``a @ b.T`` of contiguous float32 tensors, in ``shape``.

    Args:
        a: ``[M, K]`` behind any dimensions that count as rows, or ``[K, M]`` if ``across_a``.
        b: ``[N, K]``, or ``[K, N]`` if ``across_b``.
    """
    out, N = empty(shape), shape[-1]
    M = out.size // N
    K = b.size // N
    _multiply(a.data_ptr(), across_a, b.data_ptr(), across_b, out.data_ptr(), M, N, K)
    return out


class Product(paddle.autograd.PyLayer):
    """Keeps input and weight, both float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, places: list) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.places = places
        return multiply(x, False, weight, False, [*x.shape[:-1], weight.shape[0]])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensor()
        wants, g = wanted(ctx.places), g.contiguous()
        dx = multiply(g, False, weight, True, x.shape) if wants[0] else None
        dw = multiply(g, True, x, True, weight.shape) if wants[1] else None
        return dx, dw


def rounds(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether this call is one that may be rounded."""
    if product_dtype() != "bfloat16" or x.size == 0:
        return False
    return weight.dtype == paddle.float32 and x.shape[-1] == weight.shape[1]


@implements(ops.linear, name="cpu-bfloat16", devices=("cpu",), dtypes=("float32",),
            accepts=rounds, rtol={"float32": 2e-2})  # fmt: skip
def linear_halves(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, weight = x.contiguous(), weight.contiguous()
    if paddle.is_grad_enabled() and not (x.stop_gradient and weight.stop_gradient):
        out = Product.apply(x, weight, sources(x, weight))
    else:
        out = multiply(x, False, weight, False, [*x.shape[:-1], weight.shape[0]])
    return out if bias is None else out + bias.astype("float32")
