"""Arithmetic and comparison with torch's promotion, in-place forms, and the operators.

Promotion has three levels: tensors with dimensions, tensors without, Python numbers. A lower level
counts only where it is of a higher category (bool < integer < floating < complex).
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np
import paddle
from paddle import _C_ops

from hfpaddle.torch._dtypes import (
    NAMES,
    can_cast,
    category,
    get_default_dtype,
    promote_types,
)
from hfpaddle.torch._half import as_torch, lifted
from hfpaddle.torch._switch import by_caller, operator_by_caller

Tensor = paddle.Tensor
# Compared with "is": hashing one of Paddle's dtypes costs a third of an addition.
_FLOAT32, _FLOAT64, _INT64 = paddle.float32, paddle.float64, paddle.int64
_TITLES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def title(dtype: Any) -> str:
    """torch's name of the dtype in messages: Float, Long."""
    return _TITLES.get(NAMES[dtype], NAMES[dtype])


def _number_dtype(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return paddle.bool
    if isinstance(value, (int, np.integer)):
        return paddle.int64
    if isinstance(value, (float, np.floating)):
        return get_default_dtype()
    if not isinstance(value, Number):
        raise TypeError(f"argument must be Tensor or Number, not {type(value).__name__}")
    wide = get_default_dtype() is paddle.float64
    return paddle.complex128 if wide else paddle.complex64


def result_type(*values: Any) -> Any:
    """The dtype of arithmetic on ``values``, tensors and numbers."""
    levels: list[Any] = [None, None, None]
    for value in values:
        if isinstance(value, Tensor):
            level, dtype = (0 if value.ndim else 1), value.dtype
        else:
            level, dtype = 2, _number_dtype(value)
        known = levels[level]
        levels[level] = dtype if known is None else promote_types(known, dtype)
    best = None
    for dtype in levels:
        if dtype is None:
            continue
        if best is None:
            best = dtype
        elif category(dtype) > category(best):
            # A complex number next to float64 items is complex128.
            best = promote_types(best, dtype) if category(dtype) == 3 else dtype
    return best


def _cast(value: Any, dtype: Any, place: Tensor) -> Tensor:
    """``value`` as a tensor of ``dtype``; a number becomes one without dimensions."""
    if isinstance(value, Tensor):
        return value if value.dtype is dtype else paddle.cast(value, dtype)
    if isinstance(value, np.generic):
        value = value.item()
    return paddle.to_tensor(value, dtype=dtype, place=place.place)


def operands(a: Any, b: Any, kind: str = "arith") -> tuple[Tensor, Tensor, Any]:
    """Both as tensors of one dtype, and that dtype. ``kind`` "float" makes integers floating."""
    anchor = a if isinstance(a, Tensor) else b
    if not isinstance(anchor, Tensor):
        raise TypeError(f"argument 'input' must be Tensor, not {type(a).__name__}")
    dtype = result_type(a, b)
    if kind == "float" and category(dtype) < 2:
        dtype = get_default_dtype()
    return _cast(a, dtype, anchor), _cast(b, dtype, anchor), dtype


def _binary(function: Callable, kind: str) -> Callable:
    function = lifted(function)

    def call(a: Any, b: Any) -> Tensor:
        x, y, dtype = operands(a, b, kind)
        out = function(x, y)
        if kind not in ("compare", "logical") and out.dtype is not dtype:
            out = paddle.cast(out, dtype)
        return out

    return call


def _to_bool(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value if value.dtype is paddle.bool else paddle.cast(value, "bool")
    return paddle.to_tensor(bool(value))


def _logical(function: Callable) -> Callable:
    def call(a: Any, b: Any) -> Tensor:
        return function(_to_bool(a), _to_bool(b))

    return call


def _no_bool(a: Any, b: Any) -> None:
    flags = [
        isinstance(v, bool) or (isinstance(v, Tensor) and v.dtype is paddle.bool) for v in (a, b)
    ]
    if all(flags):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
            "`logical_xor()` operator instead."
        )
    if any(flags):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )


def _bool_as_logical(function: Callable, logical: Callable) -> Callable:
    """Sum and product of bools are "or" and "and"; Paddle has no kernels for them everywhere."""
    numeric = _binary(function, "arith")

    def call(a: Any, b: Any) -> Tensor:
        if result_type(a, b) is paddle.bool:
            return logical(_to_bool(a), _to_bool(b))
        return numeric(a, b)

    return call


_add = _bool_as_logical(paddle.add, paddle.logical_or)
_mul = _bool_as_logical(paddle.multiply, paddle.logical_and)
_subtract = _binary(paddle.subtract, "arith")
_true_div = _binary(paddle.divide, "float")
_floor_div = _binary(paddle.floor_divide, "arith")
_pow = _binary(paddle.pow, "arith")
_pow_number = lifted(paddle.pow)


def _sub(a: Any, b: Any) -> Tensor:
    _no_bool(a, b)
    return _subtract(a, b)


def _scaled(value: Any, alpha: Any) -> Any:
    return value if isinstance(alpha, Number) and alpha == 1 else _mul(value, alpha)


def _out(result: Tensor, out: Tensor | None) -> Tensor:
    return result if out is None else store_(out, result, resize=True)


def store_(x: Tensor, value: Tensor, resize: bool = False) -> Tensor:
    """Write ``value`` into the memory of ``x``, with torch's checks, and return ``x``.

    Raises: RuntimeError for a leaf that requires grad, a dtype of a higher category, or a shape
        that does not expand to that of ``x``.
    """
    check_writable(x, value)
    if not can_cast(value.dtype, x.dtype):
        raise RuntimeError(
            f"result type {title(value.dtype)} can't be cast to the desired output type "
            f"{title(x.dtype)}"
        )
    return copy_into(x, value, resize)


def copy_into(x: Tensor, value: Tensor, resize: bool = False) -> Tensor:
    """As :func:`store_` for any dtype, as ``copy_`` does."""
    if value.dtype is not x.dtype:
        value = paddle.cast(value, x.dtype)
    want, have = list(x.shape), list(value.shape)
    if want != have:
        if resize:
            return x.reconstruct_from_(value) or x
        if len(have) > len(want) or any(
            h not in (1, w) for h, w in zip(reversed(have), reversed(want), strict=False)
        ):
            raise RuntimeError(
                f"output with shape {want} doesn't match the broadcast shape of {have}"
            )
        value = paddle.expand(value, want)
    _C_ops.assign_out_(value, x)
    return x


def check_writable(x: Tensor, *others: Any) -> None:
    """Refuse what autograd cannot follow. Only matters while gradients are recorded."""
    if not paddle.is_grad_enabled():
        return
    if not x.stop_gradient and x.is_leaf:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation."
        )
    grads = not x.stop_gradient or any(
        isinstance(o, Tensor) and not o.stop_gradient for o in others
    )
    if grads and x._holder_size() != x._numel() * x.element_size():
        # Paddle would drop the part of the gradient that goes through the base of the view.
        raise RuntimeError(
            "in-place change of a view while gradients are recorded: Paddle does not carry this "
            "gradient to the view's base. Write base[index] = value instead, or use the "
            "out-of-place form."
        )


def inplace(function: Callable) -> Callable:
    """The in-place form of ``function``: same arguments, the result goes into the first."""

    def call(self: Tensor, *args, **kwargs) -> Tensor:
        check_writable(self, *args)
        source = self
        if paddle.is_grad_enabled() and any(
            isinstance(v, Tensor) and not v.stop_gradient for v in (self, *args)
        ):
            source = paddle.assign(self)  # what the gradient needs must not be overwritten
        return store_(self, function(source, *args, **kwargs))

    call.__name__ = getattr(function, "__name__", "function") + "_"
    return call


# Functions as torch names them.


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """``input + alpha * other``."""
    return _out(_add(input, _scaled(other, alpha)), out)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """``input - alpha * other``."""
    _no_bool(input, other)
    return _out(_subtract(input, _scaled(other, alpha)), out)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * input``."""
    return sub(other, input, alpha=alpha)


def mul(input: Any, other: Any, *, out: Any = None) -> Tensor:
    """Product."""
    return _out(_mul(input, other), out)


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """Quotient: floating, or rounded by "floor" or "trunc" and then of the common dtype."""
    if rounding_mode is None:
        return _out(_true_div(input, other), out)
    if rounding_mode == "floor":
        return _out(_floor_div(input, other), out)
    if rounding_mode != "trunc":
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    x, y, dtype = operands(input, other)
    if category(dtype) == 2:
        return _out(paddle.trunc(_true_div(x, y)), out)
    quotient, exact = paddle.floor_divide(x, y), paddle.remainder(x, y) == 0
    up = paddle.logical_and(paddle.logical_not(exact), (x < 0) != (y < 0))
    return _out(quotient + paddle.cast(up, dtype), out)


def floor_divide(input: Any, other: Any, *, out: Any = None) -> Tensor:
    """Quotient rounded down."""
    return _out(_floor_div(input, other), out)


def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """``input ** exponent``.

    Raises: RuntimeError for an integer tensor to a negative integer, as torch.
    """
    if isinstance(exponent, int) and exponent < 0 and isinstance(input, Tensor):
        if category(input.dtype) < 2:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    if isinstance(input, Tensor) and isinstance(exponent, (int, float)):
        # This one has second derivatives, and keeps the exponent in float32.
        if result_type(input, exponent) is input.dtype and (
            input.dtype is not _FLOAT64 or float(np.float32(exponent)) == exponent
        ):  # fmt: skip
            return _out(_pow_number(input, exponent), out)
    return _out(_pow(input, exponent), out)


def _with_out(function: Callable, name: str) -> Callable:
    def call(input: Any, other: Any, *, out: Any = None) -> Tensor:
        return _out(function(input, other), out)

    call.__name__ = name
    return call


def _fmod(x: Tensor, y: Tensor) -> Tensor:
    return x - y * div(x, y, rounding_mode="trunc")


_SIMPLE: dict[str, Callable] = {
    "remainder": _binary(paddle.remainder, "arith"),
    "fmod": _binary(_fmod, "arith"),
    "maximum": _binary(paddle.maximum, "arith"),
    "minimum": _binary(paddle.minimum, "arith"),
    "fmax": _binary(paddle.fmax, "arith"),
    "fmin": _binary(paddle.fmin, "arith"),
    "atan2": _binary(paddle.atan2, "float"),
    "hypot": _binary(paddle.hypot, "float"),
    "logaddexp": _binary(paddle.logaddexp, "float"),
    "copysign": _binary(paddle.copysign, "float"),
    "eq": _binary(paddle.equal, "compare"),
    "ne": _binary(paddle.not_equal, "compare"),
    "lt": _binary(paddle.less_than, "compare"),
    "le": _binary(paddle.less_equal, "compare"),
    "gt": _binary(paddle.greater_than, "compare"),
    "ge": _binary(paddle.greater_equal, "compare"),
    "bitwise_and": _binary(paddle.bitwise_and, "arith"),
    "bitwise_or": _binary(paddle.bitwise_or, "arith"),
    "bitwise_xor": _binary(paddle.bitwise_xor, "arith"),
    "bitwise_left_shift": _binary(paddle.bitwise_left_shift, "arith"),
    "bitwise_right_shift": _binary(paddle.bitwise_right_shift, "arith"),
    "logical_and": _logical(paddle.logical_and),
    "logical_or": _logical(paddle.logical_or),
    "logical_xor": _logical(paddle.logical_xor),
    "gcd": _binary(paddle.gcd, "arith"),
    "lcm": _binary(paddle.lcm, "arith"),
}
FUNCTIONS: dict[str, Callable] = {
    "add": add, "sub": sub, "rsub": rsub, "mul": mul, "div": div, "pow": pow,
    "floor_divide": floor_divide,
}  # fmt: skip
FUNCTIONS |= {name: _with_out(function, name) for name, function in _SIMPLE.items()}
_ALSO = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "not_equal": "ne",
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "arctan2": "atan2",
}  # fmt: skip
FUNCTIONS |= {name: FUNCTIONS[target] for name, target in _ALSO.items()}

# Names whose method Paddle spells with another meaning stay out of the tensor's table.
_NOTE = "torch's promotion, and Python numbers as operands"
for _name, _function in FUNCTIONS.items():
    by_caller(Tensor, _name, _function, _NOTE)
    if _name not in ("rsub", "maximum", "minimum", "fmax", "fmin", "logaddexp"):
        by_caller(Tensor, f"{_name}_", inplace(_function), _NOTE)


# Operators: Paddle's own where both sides agree already.


def _operator(name: str, slow: Callable, compare: bool = False, plain: bool = True) -> Callable:
    original = getattr(Tensor, name)

    def call(self: Tensor, other: Any) -> Any:
        if isinstance(other, Tensor):
            dtype = self.dtype
            if plain and dtype is other.dtype and (
                dtype is _FLOAT32 or dtype is _INT64 or dtype is _FLOAT64
            ):  # fmt: skip
                try:
                    return original(self, other)
                except ValueError as error:
                    raise as_torch(error) from error
            return slow(self, other)
        kind = type(other)
        if kind is int or kind is float:
            dtype = self.dtype
            if plain and (
                dtype is _FLOAT32 or dtype is _FLOAT64 or (dtype is _INT64 and kind is int)
            ):  # fmt: skip
                return original(self, other)
            return slow(self, other)
        if isinstance(other, (Number, np.generic)):
            return slow(self, other)
        if compare and (other is None or isinstance(other, (str, list, tuple, dict))):
            return NotImplemented
        if isinstance(other, np.ndarray) and name not in ("__radd__", "__rsub__", "__rmul__"):
            return slow(self, paddle.to_tensor(other))
        return NotImplemented

    return call


def _swapped(function: Callable) -> Callable:
    def call(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return call


_OPERATORS: dict[str, tuple[Callable, bool, bool]] = {
    "__add__": (_add, False, True),
    "__radd__": (_add, False, True),
    "__sub__": (_sub, False, True),
    "__rsub__": (_swapped(_sub), False, True),
    "__mul__": (_mul, False, True),
    "__rmul__": (_mul, False, True),
    "__truediv__": (_true_div, False, True),
    "__rtruediv__": (_swapped(_true_div), False, True),
    "__floordiv__": (_floor_div, False, False),
    "__rfloordiv__": (_swapped(_floor_div), False, False),
    "__mod__": (_SIMPLE["remainder"], False, False),
    "__rmod__": (_swapped(_SIMPLE["remainder"]), False, False),
    "__pow__": (pow, False, False),
    "__rpow__": (_swapped(pow), False, False),
    "__eq__": (_SIMPLE["eq"], True, True),
    "__ne__": (_SIMPLE["ne"], True, True),
    "__lt__": (_SIMPLE["lt"], True, True),
    "__le__": (_SIMPLE["le"], True, True),
    "__gt__": (_SIMPLE["gt"], True, True),
    "__ge__": (_SIMPLE["ge"], True, True),
    "__and__": (_SIMPLE["bitwise_and"], False, False),
    "__rand__": (_SIMPLE["bitwise_and"], False, False),
    "__or__": (_SIMPLE["bitwise_or"], False, False),
    "__ror__": (_SIMPLE["bitwise_or"], False, False),
    "__xor__": (_SIMPLE["bitwise_xor"], False, False),
    "__rxor__": (_SIMPLE["bitwise_xor"], False, False),
    "__lshift__": (_SIMPLE["bitwise_left_shift"], False, False),
    "__rshift__": (_SIMPLE["bitwise_right_shift"], False, False),
}
for _name, (_function, _compare, _plain) in _OPERATORS.items():
    operator_by_caller(Tensor, _name, _operator(_name, _function, _compare, _plain), _NOTE)


def _matmul_operator(self: Tensor, other: Any) -> Tensor:
    return matmul(self, other)


def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Matrix product.

    Raises: RuntimeError for operands of different dtypes, as torch.
    """
    if input.dtype is not other.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {title(input.dtype)} != "
            f"{title(other.dtype)}"
        )
    return _out(_paddle_matmul(input, other), out)


def _integer_matmul(x: Tensor, y: Tensor) -> Tensor:
    if category(x.dtype) < 2 and x.dtype not in (paddle.int32, paddle.int64, paddle.int8):
        raise RuntimeError(f"matmul: no kernel for {title(x.dtype)} tensors.")
    return paddle.matmul(x, y)


_paddle_matmul = lifted(_integer_matmul)
operator_by_caller(Tensor, "__matmul__", _matmul_operator, "operands of two dtypes are refused")

_INPLACE_OPERATORS = {
    "__iadd__": add, "__isub__": sub, "__imul__": mul, "__itruediv__": div,
    "__ifloordiv__": floor_divide, "__imod__": FUNCTIONS["remainder"], "__ipow__": pow,
    "__iand__": FUNCTIONS["bitwise_and"], "__ior__": FUNCTIONS["bitwise_or"],
    "__ixor__": FUNCTIONS["bitwise_xor"],
}  # fmt: skip
for _name, _function in _INPLACE_OPERATORS.items():
    operator_by_caller(
        Tensor, _name, inplace(_function), "in place, where Paddle makes a new tensor"
    )

__all__ = [*FUNCTIONS, "matmul", "result_type"]
globals().update(FUNCTIONS)
