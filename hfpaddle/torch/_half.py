"""Paddle's functions as torch's: half types everywhere, and torch's kind of error.

Where Paddle has no kernel for float16 and bfloat16 (the CPU), they are computed in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import paddle

_NO_KERNEL = "is not registered"


def is_half(tensor: paddle.Tensor) -> bool:
    """Whether it is float16 or bfloat16."""
    dtype = tensor.dtype
    return dtype is paddle.float16 or dtype is paddle.bfloat16


def widened(value: Any) -> Any:
    """``value`` with every half tensor in it as float32."""
    if isinstance(value, paddle.Tensor):
        return paddle.cast(value, "float32") if is_half(value) else value
    if isinstance(value, (list, tuple)):
        return type(value)(widened(item) for item in value)
    return value


def half_dtype(values: Any) -> Any:
    """The dtype of the first half tensor in ``values``, or None."""
    for value in values:
        if isinstance(value, paddle.Tensor) and is_half(value):
            return value.dtype
        if isinstance(value, (list, tuple)):
            found = half_dtype(value)
            if found is not None:
                return found
    return None


def narrowed(value: Any, dtype: Any) -> Any:
    """``value`` with every float32 tensor in it as ``dtype``."""
    if isinstance(value, paddle.Tensor):
        return paddle.cast(value, dtype) if value.dtype is paddle.float32 else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(narrowed(item, dtype) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(narrowed(item, dtype) for item in value)
    return value


def as_torch(error: Exception) -> RuntimeError:
    """Paddle's complaint about shapes as the kind of error that torch raises."""
    text = str(error)
    start = text.find("(InvalidArgument)")
    return RuntimeError(text[max(start, 0) :].partition("  [Hint")[0].strip())


def lifted(function: Callable) -> Callable:
    """``function`` (pure, of tensors), which then works for half tensors on every device."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise as_torch(error) from error
        except RuntimeError as error:
            if _NO_KERNEL not in str(error):
                raise
            dtype = half_dtype((*args, *kwargs.values()))
            if dtype is None:
                raise
        except Exception as error:
            if type(error).__name__ == "EnforceNotMet":  # Paddle has two classes of the name
                raise RuntimeError(str(error)) from error
            raise
        wide = {name: widened(value) for name, value in kwargs.items()}
        return narrowed(function(*widened(args), **wide), dtype)

    return call
