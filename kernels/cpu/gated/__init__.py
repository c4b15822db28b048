"""A gate's activation times the rest, in one pass each way; see gated.cpp."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_int, c_int64, c_void_p
from typing import Any

import paddle
import paddle.nn.functional as F

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.autograd import sources, wanted
from hfpaddle.kernels.cpu.library import function
from hfpaddle.kernels.cpu.memory import empty, empty_like
from hfpaddle.layers.activations import activation_name

Tensor = paddle.Tensor

# Numbers of the activations in gated.cpp.
NUMBERS = {"silu": 0, "gelu": 1, "gelu_pytorch_tanh": 2, "gelu_fast": 2, "relu": 3}

_gated = function("hf_gated", c_int, *[c_void_p] * 2, c_int64, c_void_p, c_int64, c_int64)
_backward = function(
    "hf_gated_backward", c_int, *[c_void_p] * 2, c_int64, *[c_void_p] * 3, c_int64, c_int64
)


def rows(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return both with rows one distance apart, and it: views of halves stay as they are."""
    size = gate.shape[-1]
    strides = gate.strides
    stride = strides[-2] if gate.ndim > 1 else size
    dense = strides[-1] == 1 and strides == up.strides
    for i in range(gate.ndim - 2):
        dense = dense and strides[i] == strides[i + 1] * gate.shape[i + 1]
    return (gate, up, stride) if dense else (gate.contiguous(), up.contiguous(), size)


def apply(gate: Tensor, up: Tensor, number: int) -> Tensor:
    a, u, stride = rows(gate, up)
    out, size = empty(gate.shape, gate.dtype), gate.shape[-1]
    _gated(number, a.data_ptr(), u.data_ptr(), stride, out.data_ptr(), gate.size // size, size)
    return out


class Gated(paddle.autograd.PyLayer):
    """Keeps gate and up alone."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, number: int, places: list) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.number = number
        ctx.places = places
        return apply(gate, up, number)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        gate, up = ctx.saved_tensor()
        if paddle.is_grad_enabled():  # a second derivative is wanted
            value, slope = VALUES[ctx.number](gate)
            return chosen(ctx, g * up * slope, g * value)
        a, u, stride = rows(gate, up)
        g, size = g.contiguous(), gate.shape[-1]
        da, du = empty_like(g), empty_like(g)
        _backward(ctx.number, a.data_ptr(), u.data_ptr(), stride, g.data_ptr(), da.data_ptr(),
                  du.data_ptr(), g.size // size, size)  # fmt: skip
        return chosen(ctx, da, du)


def chosen(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    wants = wanted(ctx.places)
    return tuple(t if want else None for t, want in zip(gradients, wants, strict=True))


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    s = F.sigmoid(x)
    return x * s, s * (1.0 + x * (1.0 - s))


def _gelu(x: Tensor) -> tuple[Tensor, Tensor]:
    cdf = 0.5 * (1.0 + paddle.erf(x * 0.5**0.5))
    return x * cdf, cdf + x * 0.3989422804014327 * paddle.exp(-0.5 * x * x)


def _gelu_tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    t = paddle.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
    inner = 0.7978845608028654 * (1.0 + 0.134145 * x * x)
    return 0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner


def _relu(x: Tensor) -> tuple[Tensor, Tensor]:
    return F.relu(x), (x > 0).astype(x.dtype)


# Value and slope of each activation as Paddle's operations.
VALUES = (_silu, _gelu, _gelu_tanh, _relu)


def fits(gate: Tensor, up: Tensor, act: Callable[[Tensor], Tensor]) -> bool:
    """Whether the activation is known and both have one shape and dtype."""
    if gate.shape != up.shape or gate.dtype != up.dtype or gate.ndim == 0 or gate.size == 0:
        return False
    return activation_name(act) in NUMBERS


@implements(ops.gated, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=fits,
            rtol={"float32": 1e-5})  # fmt: skip
def gated_cpu(gate: Tensor, up: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
    number = NUMBERS[activation_name(act) or ""]
    if paddle.is_grad_enabled() and not (gate.stop_gradient and up.stop_gradient):
        # What recomputation saves loses its strides (Paddle 3.3).
        gate, up = gate.contiguous(), up.contiguous()
        return Gated.apply(gate, up, number, sources(gate, up))
    return apply(gate, up, number)
