"""Functions of one tensor, item by item, and their in-place forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle

from hfpaddle.torch._dtypes import category, get_default_dtype
from hfpaddle.torch._half import lifted
from hfpaddle.torch._promote import (
    FUNCTIONS,
    _cast,
    check_writable,
    copy_into,
    inplace,
    result_type,
    title,
)
from hfpaddle.torch._switch import by_caller

Tensor = paddle.Tensor

# Integers become floating here.
_FLOATING = (
    "acos acosh asin asinh atan atanh cos cosh digamma erf erfinv exp expm1 lgamma log log10 log1p "
    "log2 logit reciprocal rsqrt sigmoid sin sinc sinh sqrt tan tanh i0 deg2rad rad2deg"
).split()
# The dtype stays.
_KEEPING = "abs ceil conj floor frac neg sgn sign square trunc".split()
_ALSO = {
    "absolute": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "arccosh": "acosh",
    "arcsinh": "asinh", "arctanh": "atanh", "negative": "neg", "fix": "trunc",
}  # fmt: skip
_TESTS = "isfinite isinf isnan isneginf isposinf isreal".split()


def _one(name: str, floating: bool) -> Callable:
    function = lifted(getattr(paddle, name))

    def call(input: Tensor, *args, out: Any = None, **kwargs) -> Tensor:
        x = input
        if floating and category(x.dtype) < 2:
            x = x.astype(get_default_dtype())
        result = _integer(function, x) if not floating else function(x, *args, **kwargs)
        return result if out is None else copy_into(out, result, resize=True)

    call.__name__ = name
    return call


def _integer(function: Callable, x: Tensor) -> Tensor:
    """Whole-number functions of integers: Paddle lacks some kernels, and the answer is x."""
    if category(x.dtype) < 2 and function.__name__ in ("ceil", "floor", "trunc", "conj"):
        return x.clone()
    if x.dtype is paddle.bool:
        raise RuntimeError(f"{function.__name__}: not defined for Bool tensors.")
    if x.dtype in (paddle.int8, paddle.uint8, paddle.int16):
        return function(x.astype("int32")).astype(x.dtype)
    return function(x)


def _test(name: str) -> Callable:
    function = lifted(getattr(paddle, name))

    def call(input: Tensor) -> Tensor:
        if category(input.dtype) < 2:
            return paddle.full(list(input.shape), name in ("isfinite", "isreal"), "bool")
        return function(input.astype("float32") if input.element_size() == 2 else input)

    call.__name__ = name
    return call


def clamp(input, min=None, max=None, *, out=None) -> Tensor:
    """Items below ``min`` become ``min``, above ``max`` become ``max``; numbers or tensors."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [b for b in (min, max) if b is not None]
    dtype = result_type(input, *bounds)
    x = input.astype(dtype)
    if not any(isinstance(b, Tensor) for b in bounds) and category(dtype) == 2:
        result = lifted(paddle.clip)(x, min, max)
    else:
        result = x
        if min is not None:
            result = FUNCTIONS["maximum"](result, _cast(min, dtype, x))
        if max is not None:
            result = FUNCTIONS["minimum"](result, _cast(max, dtype, x))
    return result if out is None else copy_into(out, result, resize=True)


def clamp_min(input, min) -> Tensor:
    """``clamp`` from below."""
    return clamp(input, min=min)


def clamp_max(input, max) -> Tensor:
    """``clamp`` from above."""
    return clamp(input, max=max)


def round(input, *, decimals=0, out=None) -> Tensor:
    """To the nearest whole number, halves to the even one."""
    if category(input.dtype) < 2:
        result = input.clone()
    else:
        result = _round(input * 10.0**decimals) / 10.0**decimals if decimals else _round(input)
    return result if out is None else copy_into(out, result, resize=True)


def _half_even(x: Tensor) -> Tensor:
    low = paddle.floor(x)
    rest = x - low
    odd = paddle.remainder(low, paddle.full_like(low, 2)) != 0
    up = paddle.logical_or(rest > 0.5, paddle.logical_and(rest == 0.5, odd))
    return paddle.where(paddle.isfinite(x), low + up.astype(x.dtype), x)


_round = lifted(_half_even)


def _relu(x: Tensor) -> Tensor:
    return paddle.nn.functional.relu(x)


relu = lifted(_relu)


def nan_to_num(input, nan=0.0, posinf=None, neginf=None, *, out=None) -> Tensor:
    """NaN and infinities replaced by numbers."""
    if category(input.dtype) < 2:
        return input.clone()
    return lifted(paddle.nan_to_num)(input, nan or 0.0, posinf, neginf)


def lerp(input, end, weight, *, out=None) -> Tensor:
    """``input + weight * (end - input)``; from the other end for weights above a half."""
    weight = weight if isinstance(weight, Tensor) else paddle.full([], weight, input.dtype)
    return lifted(_lerp)(input, end, weight)


def _lerp(a: Tensor, b: Tensor, w: Tensor) -> Tensor:
    return paddle.where(w.abs() < 0.5, a + w * (b - a), b - (b - a) * (1 - w))


def addcmul(input, tensor1, tensor2, *, value=1, out=None) -> Tensor:
    """``input + value * tensor1 * tensor2``."""
    product = FUNCTIONS["mul"](tensor1, tensor2)
    return FUNCTIONS["add"](input, product, alpha=value, out=out)


def addcdiv(input, tensor1, tensor2, *, value=1, out=None) -> Tensor:
    """``input + value * tensor1 / tensor2``."""
    quotient = FUNCTIONS["div"](tensor1, tensor2)
    return FUNCTIONS["add"](input, quotient, alpha=value, out=out)


def logical_not(input, *, out=None) -> Tensor:
    """True where an item is zero."""
    result = paddle.logical_not(input.astype("bool"))
    return result if out is None else copy_into(out, result, resize=True)


def bitwise_not(input, *, out=None) -> Tensor:
    """Each bit turned; "not" for bools. Raises: TypeError for floating items."""
    if category(input.dtype) >= 2:
        raise TypeError(f"~ (operator.invert) is only implemented on integer and Boolean-type "
                        f"tensors, not {title(input.dtype)}")  # fmt: skip
    return paddle.bitwise_not(input)


def positive(input) -> Tensor:
    """The tensor itself."""
    return input


def float_power(input, exponent) -> Tensor:
    """``input ** exponent`` in float64."""
    wide = input.astype("float64") if isinstance(input, Tensor) else input
    return FUNCTIONS["pow"](wide, exponent)


def xlogy(input, other) -> Tensor:
    """``input * log(other)``, 0 where ``input`` is 0."""
    zero = paddle.zeros_like(input)
    return paddle.where(input == 0, zero, input * FUNCTIONS["log"](other))


def fill_(self: Tensor, value) -> Tensor:
    """Every item becomes ``value``."""
    check_writable(self)
    value = value.detach() if isinstance(value, Tensor) else paddle.full([], value, self.dtype)
    return copy_into(self, value)


def zero_(self: Tensor) -> Tensor:
    """Every item becomes 0."""
    return fill_(self, 0)


def copy_(self: Tensor, src, non_blocking=False) -> Tensor:
    """Items of ``src``, broadcast and cast."""
    check_writable(self, src)
    if str(src.place) != str(self.place):
        src = src._copy_to(self.place, True)
    return copy_into(self, src)


_LOCAL: dict[str, Callable] = {name: _one(name, True) for name in _FLOATING}
_LOCAL |= {name: _one(name, False) for name in _KEEPING}
_LOCAL |= {name: _LOCAL[target] for name, target in _ALSO.items()}
_LOCAL |= {
    "clamp": clamp, "clip": clamp, "clamp_min": clamp_min, "clamp_max": clamp_max, "round": round,
    "nan_to_num": nan_to_num, "lerp": lerp, "addcmul": addcmul, "addcdiv": addcdiv, "relu": relu,
    "logical_not": logical_not, "bitwise_not": bitwise_not, "float_power": float_power,
    "xlogy": xlogy,
}  # fmt: skip
FUNCTIONS |= _LOCAL | {name: _test(name) for name in _TESTS} | {"positive": positive}
globals().update(FUNCTIONS)

_NOTE = "torch's dtypes and keywords"
for _name, _function in _LOCAL.items():
    by_caller(Tensor, _name, _function, _NOTE)
    by_caller(Tensor, f"{_name}_", inplace(_function), _NOTE)
for _name in (*_TESTS, "positive"):
    by_caller(Tensor, _name, FUNCTIONS[_name], _NOTE)
for _function in (fill_, zero_, copy_):
    by_caller(Tensor, _function.__name__, _function, "broadcasts, casts and checks as torch")
by_caller(Tensor, "__invert__", bitwise_not, "refuses floating items")

__all__ = [*_LOCAL, *_TESTS, "positive"]
