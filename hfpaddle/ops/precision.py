"""The precision in which products of float32 tensors may be computed: what autocast chooses.

A device whose processor multiplies bfloat16 faster says so with `register_half_products`; its
implementation of `linear` asks `product_dtype`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from hfpaddle.core.op import discover

_dtype: ContextVar[str] = ContextVar("product_dtype", default="float32")
_devices: dict[str, Callable[[], bool]] = {}


@contextlib.contextmanager
def products(dtype: str) -> Iterator[None]:
    """Within the block, linear layers may round what they multiply to ``dtype``; sums, weights and
    results stay float32.

    Args:
        dtype: "bfloat16" or "float32".
    """
    token = _dtype.set(dtype)
    try:
        yield
    finally:
        _dtype.reset(token)


def product_dtype() -> str:
    """Return what the innermost `products` says."""
    return _dtype.get()


def register_half_products(device: str, gains: Callable[[], bool]) -> None:
    """Say when ``device`` multiplies bfloat16 faster than float32."""
    _devices[device] = gains


def gains_by_half_products(device: str) -> bool:
    """Whether `products("bfloat16")` makes this kind of device faster."""
    discover(device)
    return device in _devices and _devices[device]()
