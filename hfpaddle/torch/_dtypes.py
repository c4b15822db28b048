"""dtypes: Paddle's own objects, with torch's attributes and, for scripts, torch's names.

``torch.float32 is paddle.float32`` holds. What torch knows and Paddle cannot compute with
(``uint16``, ``uint32``, ``uint64``) exists as a name only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import MissingFeatureError, UnsupportedArgumentError, nearest
from hfpaddle.torch._switch import added, by_caller

dtype = paddle.dtype

_FLOATS = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
_INTS = ("uint8", "int8", "int16", "int32", "int64")
BY_NAME: dict[str, Any] = {name: getattr(paddle, name) for name in (*_INTS, *_FLOATS)}
BY_NAME |= {name: getattr(paddle, name) for name in ("bool", "complex64", "complex128")}
# paddle.uint16 is bfloat16: the true one has no attribute.
BY_NAME |= {name: getattr(paddle.dtype, name.upper()) for name in ("uint16", "uint32", "uint64")}
NAMES = {value: name for name, value in BY_NAME.items()}
ALIASES = {
    "float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32",
    "short": "int16", "cfloat": "complex64", "cdouble": "complex128",
}  # fmt: skip
HALVES = (paddle.float16, paddle.bfloat16)
FLOATING = frozenset(BY_NAME[name] for name in _FLOATS)
COMPLEX = frozenset((paddle.complex64, paddle.complex128))
UNSIGNED = frozenset(BY_NAME[name] for name in ("bool", "uint8", "uint16", "uint32", "uint64"))
_SIZES = {"bool": 1, "bfloat16": 2, "complex64": 8, "complex128": 16}

_OF_PYTHON = {
    bool: paddle.bool,
    int: paddle.int64,
    float: paddle.float32,
    complex: paddle.complex64,
}


def itemsize(kind: Any) -> int:
    """Bytes of one item."""
    name = NAMES[kind]
    if name in _SIZES:
        return _SIZES[name]
    return 1 if name.startswith("float8") else int("".join(c for c in name if c.isdigit())) // 8


def as_dtype(kind: Any) -> Any:
    """Paddle's dtype for a dtype, a Python type (``float`` is float64), or a name with "torch."."""
    if kind is None or isinstance(kind, paddle.dtype):
        return kind
    if kind is float:
        return paddle.float64
    if isinstance(kind, type) and kind in _OF_PYTHON:
        return _OF_PYTHON[kind]
    text = str(kind).removeprefix("torch.").removeprefix("paddle.")
    text = ALIASES.get(text, text)
    if text not in BY_NAME:
        try:
            text = np.dtype(kind).name
        except TypeError:
            raise UnsupportedArgumentError(
                f"dtype {kind!r} is unknown{nearest(text, BY_NAME)}. Pass a torch.dtype."
            ) from None
    return BY_NAME[text]


def _category(kind: Any) -> int:
    if kind in COMPLEX:
        return 3
    if kind in FLOATING:
        return 2
    return 0 if kind is paddle.bool else 1


# By identity: hashing one of Paddle's dtypes costs as much as half an operation.
_CATEGORIES = {id(kind): _category(kind) for kind in NAMES}


def category(kind: Any) -> int:
    """0 bool, 1 integer, 2 floating, 3 complex: a higher one wins in promotion."""
    found = _CATEGORIES.get(id(kind))
    return _category(kind) if found is None else found


def get_default_dtype() -> Any:
    """The dtype that a Python float becomes."""
    return BY_NAME[paddle.get_default_dtype()]


def set_default_dtype(d: Any) -> None:
    """Set it; Paddle's own default follows."""
    if d not in FLOATING:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    paddle.set_default_dtype(NAMES[d])


_PROMOTED = {"bfloat16": {"float16": "float32"}, "float16": {"bfloat16": "float32"}}


def promote_types(type1: Any, type2: Any) -> Any:
    """The smallest dtype that both may become."""
    if type1 is type2:
        return type1
    first, second = category(type1), category(type2)
    if first != second and 3 not in (first, second):
        return type1 if first > second else type2
    a, b = NAMES[type1], NAMES[type2]
    if 3 in (first, second):
        wide = "complex128" in (a, b) or "float64" in (a, b)
        return paddle.complex128 if wide else paddle.complex64
    if first == 2:
        if b in _PROMOTED.get(a, ()):
            return paddle.float32
        return type1 if itemsize(type1) > itemsize(type2) else type2
    if "uint8" in (a, b) and "int8" in (a, b):
        return paddle.int16
    if itemsize(type1) == itemsize(type2):
        raise MissingFeatureError(f"promote_types: {a} with {b} has no common type here.")
    return type1 if itemsize(type1) > itemsize(type2) else type2


def can_cast(from_: Any, to: Any) -> bool:
    """Whether torch casts silently: not from a higher category to a lower, nor signed to bool."""
    return category(from_) <= category(to)


class finfo:
    """Limits of a floating dtype (default: the default dtype); numbers are Python floats."""

    def __init__(self, dtype: Any = None):
        kind = get_default_dtype() if dtype is None else as_dtype(dtype)
        if category(kind) < 2:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'torch.{NAMES[kind]}'"
            )
        kind = {paddle.complex64: paddle.float32, paddle.complex128: paddle.float64}.get(kind, kind)
        self.dtype, self.bits = NAMES[kind], 8 * itemsize(kind)
        exponent, mantissa, bias, top = _FORMATS[self.dtype]
        self.eps = 2.0**-mantissa
        self.max = top
        self.min = -top
        self.tiny = self.smallest_normal = 2.0 ** (1 - bias)
        self.resolution = _RESOLUTION[self.dtype]

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        inner = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({inner}, dtype={self.dtype})"


# exponent bits, mantissa bits, exponent bias, largest number
_FORMATS = {
    "float64": (11, 52, 1023, float(np.finfo(np.float64).max)),
    "float32": (8, 23, 127, float(np.finfo(np.float32).max)),
    "float16": (5, 10, 15, 65504.0),
    "bfloat16": (8, 7, 127, (2 - 2.0**-7) * 2.0**127),
    "float8_e4m3fn": (4, 3, 7, 448.0),
    "float8_e5m2": (5, 2, 15, 57344.0),
}
_RESOLUTION = {
    "float64": 1e-15, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2, "float8_e4m3fn": 1.0,
    "float8_e5m2": 1.0,
}  # fmt: skip


class iinfo:
    """Limits of an integer dtype."""

    def __init__(self, type: Any):
        kind = as_dtype(type)
        if category(kind) != 1:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'torch.{NAMES[kind]}'"
            )
        self.dtype, self.bits = NAMES[kind], 8 * itemsize(kind)
        signed = kind not in UNSIGNED
        self.min = -(1 << (self.bits - 1)) if signed else 0
        self.max = (1 << (self.bits - signed)) - 1

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def _text(self) -> str:
    return f"torch.{NAMES.get(self, '?')}"


added(dtype, "itemsize", property(itemsize))
added(dtype, "is_floating_point", property(lambda self: self in FLOATING))
added(dtype, "is_complex", property(lambda self: self in COMPLEX))
added(dtype, "is_signed", property(lambda self: self not in UNSIGNED))
by_caller(dtype, "__repr__", _text, "'torch.float32', where Paddle says <DataType.FLOAT32: 10>")
by_caller(dtype, "__str__", _text, "'torch.float32', where Paddle says 'paddle.float32'")
