"""Adam in one pass, rounded as torch rounds it; norms and scaling on all threads."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_double, c_float, c_int64, c_void_p
from typing import Any

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.library import function

Tensor = paddle.Tensor


class Adam(Structure):
    """Constants of a step, rounded to float32 as torch rounds them."""

    _fields_ = [(name, c_float) for name in
                ("l2", "keep", "weight1", "beta2", "weight2", "rate", "bias", "eps")]  # fmt: skip


_adam = function("hf_adam", POINTER(Adam), *[c_void_p] * 5, c_int64)
_norm = function("hf_squared_norm", c_void_p, c_int64)
_norm.restype = c_double
_scale = function("hf_scale", c_void_p, c_float, c_int64)


def fits(param: Tensor, *tensors: Tensor | None, **numbers: float) -> bool:
    """Whether all are float32 in one piece."""
    return all(
        t is None or (t.dtype == paddle.float32 and t.is_contiguous()) for t in (param, *tensors)
    )


@implements(ops.adam_, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=fits,
            rtol={"float32": 1e-6})  # fmt: skip
def adam_cpu(
    param: Tensor, grad: Tensor, mean: Tensor, square: Tensor, largest: Tensor | None = None,
    *, l2: float, keep: float, beta1: float, beta2: float, rate: float, bias: float, eps: float,
) -> None:  # fmt: skip
    numbers = Adam(l2, keep, 1.0 - beta1, beta2, 1.0 - beta2, -rate, bias, eps)
    top = None if largest is None else largest.data_ptr()
    _adam(ctypes.byref(numbers), param.data_ptr(), grad.data_ptr(), mean.data_ptr(),
          square.data_ptr(), top, param.size)  # fmt: skip
    for changed in (param, mean, square, largest):
        if changed is not None:
            changed._bump_inplace_version()  # a graph that still needs the old values must notice


@implements(ops.squared_norm, name="cpu", devices=("cpu",), dtypes=("float32",),
            rtol={"float32": 1e-6})  # fmt: skip
def squared_norm_cpu(x: Tensor) -> Tensor:
    x = x.contiguous()
    return paddle.full([], _norm(x.data_ptr(), x.size), "float32", device="cpu")


def whole(x: Tensor, factor: Any) -> bool:
    return x.is_contiguous()


@implements(ops.scale_, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=whole,
            rtol={"float32": 0.0})  # fmt: skip
def scale_cpu(x: Tensor, factor: Tensor) -> None:
    number = float(factor)
    if number != 1.0:  # then nothing would change
        _scale(x.data_ptr(), number, x.size)
        x._bump_inplace_version()
