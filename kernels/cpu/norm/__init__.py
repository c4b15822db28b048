"""RMS norm and layer norm, forward and backward in one pass over memory each.

In plain Paddle they take eight passes forward and a dozen backward, on one thread; see norm.cpp.
"""

from __future__ import annotations

from ctypes import c_float, c_int, c_int64, c_void_p
from typing import Any

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.autograd import sources, wanted
from hfpaddle.kernels.cpu.library import function
from hfpaddle.kernels.cpu.memory import empty_like

Tensor = paddle.Tensor

_norm = function(
    "hf_norm", c_int, *[c_void_p] * 2, c_float, c_void_p, c_float, c_void_p, c_int64, c_int64
)
_backward = function(
    "hf_norm_backward", c_int, *[c_void_p] * 2, c_float, c_float, *[c_void_p] * 4, c_int64, c_int64
)


def address(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def apply(x: Tensor, w: Any, offset: float, b: Any, eps: float, centred: bool) -> Tensor:
    """Return the norm; ``x``, ``w`` and ``b`` are contiguous."""
    out, size = empty_like(x), x.shape[-1]
    _norm(centred, x.data_ptr(), address(w), offset, address(b), eps, out.data_ptr(),
          x.size // size, size)  # fmt: skip
    return out


class Norm(paddle.autograd.PyLayer):
    """Keeps the input alone; its statistics are computed again."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Any, b: Any, offset: float, eps: float, centred: bool, places: list
    ) -> Tensor:
        ctx.save_for_backward(x, w, b)
        ctx.numbers = offset, eps, centred
        ctx.places = places
        return apply(x, w, offset, b, eps, centred)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w, b = ctx.saved_tensor()
        offset, eps, centred = ctx.numbers
        wants = wanted(ctx.places)
        given = 1 + (w is not None) + (b is not None)
        if paddle.is_grad_enabled():  # a second derivative is wanted
            found = second(x, w, g, *ctx.numbers)
            return tuple(t if want else None for t, want in zip(found, wants, strict=True))[:given]
        g, size = g.contiguous(), x.shape[-1]
        dx, dw, db = (
            empty_like(t) if want else None for t, want in zip((x, w, b), wants, strict=True)
        )
        _backward(centred, x.data_ptr(), address(w), offset, eps, g.data_ptr(), address(dx),
                  address(dw), address(db), x.size // size, size)  # fmt: skip
        return (dx, dw, db)[:given]


def second(
    x: Tensor, w: Any, g: Tensor, offset: float, eps: float, centred: bool
) -> tuple[Tensor, ...]:
    """The gradients as Paddle's operations, which can be differentiated."""

    def mean(t: Tensor) -> Tensor:
        return t.mean(axis=-1, keepdim=True)

    if centred:
        x = x - mean(x)
    scale = paddle.rsqrt(mean(x.square()) + eps)
    n, h, rows = x * scale, g, list(range(x.ndim - 1))
    if w is not None:
        h = g * (w + offset)
    dx = h - n * mean(h * n)
    if centred:
        dx = dx - mean(h)
    return dx * scale, (g * n).sum(axis=rows), g.sum(axis=rows)


def fits(x: Tensor, *parameters: Tensor | None) -> bool:
    return x.size > 0 and all(p is None or p.shape == x.shape[-1:] for p in parameters)


def run(x: Tensor, w: Any, b: Any, offset: float, eps: float, centred: bool) -> Tensor:
    w, b = (None if t is None else _plain(t) for t in (w, b))
    if paddle.is_grad_enabled() and not all(t is None or t.stop_gradient for t in (x, w, b)):
        x = x.contiguous()
        return Norm.apply(x, w, b, offset, eps, centred, sources(x, w, b))
    return apply(x.contiguous(), w, offset, b, eps, centred)


def _plain(t: Tensor) -> Tensor:
    t = t if t.dtype == paddle.float32 else t.astype("float32")
    return t if t.is_contiguous() else t.contiguous()


def rms_fits(x: Tensor, weight: Tensor | None, eps: float = 1e-6, offset: float = 0.0) -> bool:
    return fits(x, weight)


@implements(ops.rms_norm, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=rms_fits,
            rtol={"float32": 1e-5})  # fmt: skip
def rms_norm_cpu(
    x: Tensor, weight: Tensor | None, eps: float = 1e-6, offset: float = 0.0
) -> Tensor:
    return run(x, weight, None, offset, eps, False)


def layer_fits(
    x: Tensor, weight: Tensor | None, bias: Tensor | None = None, eps: float = 1e-5
) -> bool:
    # `PyLayer` counts the tensors it is given: a bias without a weight stays with the reference.
    return fits(x, weight, bias) and (weight is not None or bias is None)


@implements(ops.layer_norm, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=layer_fits,
            rtol={"float32": 1e-5})  # fmt: skip
def layer_norm_cpu(
    x: Tensor, weight: Tensor | None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    return run(x, weight, bias, 0.0, eps, True)
