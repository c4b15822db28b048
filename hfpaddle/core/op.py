"""Ops: a plain-Paddle reference that defines what is correct, and faster implementations of it.

A layer calls ``ops.rms_norm(x, w)``. The call runs the first registered implementation whose
devices and dtypes fit the first tensor argument, else the reference; `hfpaddle.kernels` lets a user
force one and shows the choice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError

OPS: dict[str, Op] = {}
forced: ContextVar[Mapping[str, str] | None] = ContextVar("forced", default=None)


@dataclass(frozen=True)
class Implementation:
    """One way to run an op, with where it works and how far it may differ from the reference."""

    name: str
    fn: Callable[..., Any]
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    rtol: Mapping[str, float] = field(default_factory=dict)

    def fits(self, tensor: paddle.Tensor) -> bool:
        device = str(tensor.place).removeprefix("Place(").split(":")[0].rstrip(")")
        return device in self.devices and str(tensor.dtype).removeprefix("paddle.") in self.dtypes


class Op:
    """A callable with a reference and any number of implementations."""

    def __init__(self, reference: Callable[..., Any]) -> None:
        functools.update_wrapper(self, reference)
        self.name = reference.__name__
        self.reference = reference
        self.impls: list[Implementation] = []
        OPS[self.name] = self

    def choose(self, tensor: paddle.Tensor) -> Callable[..., Any]:
        """Return the function that runs for ``tensor``. Raises UnsupportedArgumentError if the
        implementation that the user forced does not run there."""
        wanted = (forced.get() or {}).get(self.name)
        if wanted == "reference" or (wanted is None and not self.impls):
            return self.reference
        for impl in self.impls:
            if wanted in (None, impl.name) and impl.fits(tensor):
                return impl.fn
        if wanted is None:
            return self.reference
        names = [impl.name for impl in self.impls] + ["reference"]
        raise UnsupportedArgumentError(
            f"kernels.use({self.name}={wanted!r}): no such implementation for {tensor.dtype} on "
            f"{tensor.place}. Known for this op: {names}."
        )

    def __call__(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.impls and not forced.get():
            return self.reference(x, *args, **kwargs)
        return self.choose(x)(x, *args, **kwargs)


def op(reference: Callable[..., Any]) -> Op:
    """Declare an op by its reference. The first argument must be a tensor."""
    return Op(reference)


def implements(
    target: Op,
    *,
    name: str,
    devices: tuple[str, ...],
    dtypes: tuple[str, ...],
    rtol: Mapping[str, float] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Attach a fast implementation to ``target``, with its limits and its tolerance per dtype."""

    def attach(fn: Callable[..., Any]) -> Callable[..., Any]:
        target.impls.append(Implementation(name, fn, devices, dtypes, rtol or {}))
        return fn

    return attach
