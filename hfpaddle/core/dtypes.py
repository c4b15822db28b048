"""One spelling for the many ways in which users name a dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import UnsupportedArgumentError, nearest

DTYPES: dict[str, Any] = {
    "float64": paddle.float64,
    "float32": paddle.float32,
    "float16": paddle.float16,
    "bfloat16": paddle.bfloat16,
    "int64": paddle.int64,
    "int32": paddle.int32,
    "int16": paddle.int16,
    "int8": paddle.int8,
    "uint8": paddle.uint8,
    "bool": paddle.bool,
    "complex64": paddle.complex64,
    "complex128": paddle.complex128,
}
FLOATING = (paddle.float32, paddle.bfloat16, paddle.float16, paddle.float64)
_ALIASES = {
    "double": "float64",
    "float": "float32",
    "fp32": "float32",
    "half": "float16",
    "fp16": "float16",
    "bf16": "bfloat16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dtype_name(dtype: Any) -> str:
    """Return ``"float32"`` for Paddle's, numpy's, torch's or a textual name of it.

    Raises: UnsupportedArgumentError naming the value and the nearest known dtype.
    """
    if isinstance(dtype, paddle.dtype):
        return _NAMES.get(dtype, str(dtype).removeprefix("paddle."))
    if dtype is float:
        return "float32"
    if isinstance(dtype, (np.dtype, type)):
        text = np.dtype(dtype).name
    else:
        text = str(dtype)
    text = text.removeprefix("torch.").removeprefix("paddle.")
    text = _ALIASES.get(text, text)
    if text not in DTYPES:
        raise UnsupportedArgumentError(
            f"dtype {dtype!r} is unknown{nearest(text, DTYPES)}. Known: {sorted(DTYPES)}."
        )
    return text


def as_dtype(dtype: Any) -> Any:
    """Return Paddle's dtype object for any spelling that `dtype_name` takes."""
    return dtype if isinstance(dtype, paddle.dtype) else DTYPES[dtype_name(dtype)]


def floating_dtype(dtype: Any) -> Any:
    """As `as_dtype`, for weights. Raises: UnsupportedArgumentError for integers and the like."""
    found = as_dtype(dtype)
    if found not in FLOATING:
        raise UnsupportedArgumentError(
            f"dtype={dtype!r} is no dtype for weights. Known: {[dtype_name(d) for d in FLOATING]}."
        )
    return found


def is_dtype(value: Any) -> bool:
    """Tell whether ``value`` names a dtype rather than a device."""
    if isinstance(value, (paddle.dtype, np.dtype)):
        return True
    text = str(value).removeprefix("torch.").removeprefix("paddle.")
    return text in DTYPES or text in _ALIASES
