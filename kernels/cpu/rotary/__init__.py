"""Rotary positions in one pass, from and to any layout of the heads; see rotary.cpp.

Queries come as a view of their projection, ``[B, S, N, D]`` in memory. The result is dense
``[B, N, S, D]``, which attention reads; the gradient goes back in the projection's own order.
"""

from __future__ import annotations

from ctypes import POINTER, Structure, c_float, c_int, c_int64, c_void_p
from typing import Any

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.library import function
from hfpaddle.kernels.cpu.memory import empty

Tensor = paddle.Tensor


class Heads(Structure):
    """Distances in floats from one sample, head and position to the next."""

    _fields_ = [("batch", c_int64), ("head", c_int64), ("position", c_int64)]


_rotary = function(
    "hf_rotary", c_void_p, POINTER(Heads), *[c_void_p] * 2, c_int64, c_float, c_int, c_void_p,
    POINTER(Heads), *[c_int64] * 5,
)  # fmt: skip


def turn(x: Tensor, out: Tensor, cos: Tensor, sin: Tensor, sign: float, crossed: bool) -> Tensor:
    """Write ``x`` turned to ``out``, both ``[B, N, S, D]`` with elements side by side."""
    B, N, S, D = x.shape
    pairs = cos.shape[-1]
    angles = S * pairs if cos.shape[0] > 1 else 0
    _rotary(x.data_ptr(), Heads(*x.strides[:3]), cos.data_ptr(), sin.data_ptr(), angles, sign,
            crossed, out.data_ptr(), Heads(*out.strides[:3]), B, N, S, D, pairs)  # fmt: skip
    return out


def side_by_side(x: Tensor) -> Tensor:
    return x if x.strides[-1] == 1 else x.contiguous()


class Rotary(paddle.autograd.PyLayer):
    """Keeps the angles alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, crossed: bool) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.crossed = crossed
        return turn(side_by_side(x), empty(x.shape, x.dtype), cos, sin, 1.0, crossed)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensor()
        if paddle.is_grad_enabled():  # a second derivative is wanted
            return ops.rotary.reference(g, cos, -sin, ctx.crossed), None, None
        B, N, S, D = g.shape
        out = empty([B, S, N, D], g.dtype).transpose([0, 2, 1, 3])
        return turn(side_by_side(g), out, cos, sin, -1.0, ctx.crossed), None, None


def fits(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> bool:
    """Whether the angles are constants of the right shape, and here: positions are the caller's."""
    if not (cos.place.is_cpu_place() and sin.place.is_cpu_place()):
        return False
    if x.ndim != 4 or x.size == 0 or not (cos.stop_gradient and sin.stop_gradient):
        return False
    B, _, S, D = x.shape
    pairs = cos.shape[-1]
    right = ([1, S, pairs], [B, S, pairs])
    return 2 * pairs <= D and cos.shape in right and sin.shape == cos.shape


@implements(ops.rotary, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=fits,
            rtol={"float32": 1e-5})  # fmt: skip
def rotary_cpu(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    cos, sin = (t.astype("float32").contiguous() for t in (cos, sin))
    if paddle.is_grad_enabled() and not x.stop_gradient:
        return Rotary.apply(x, cos, sin, interleaved)
    return turn(side_by_side(x), empty(x.shape, x.dtype), cos, sin, 1.0, interleaved)
