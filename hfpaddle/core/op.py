"""Ops: a plain-Paddle reference that defines what is correct, and faster implementations of it.

A layer calls ``ops.rms_norm(x, w)``. The call runs the first registered implementation whose
devices and dtypes fit the first tensor argument, else the reference; `hfpaddle.kernels` lets a user
force one and shows the choice.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError, nearest

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
    accepts: Callable[..., bool] | None = None

    def fits(self, tensor: paddle.Tensor) -> bool:
        """Whether it runs on the device and with the dtype of ``tensor``."""
        dtype = str(tensor.dtype).removeprefix("paddle.")
        return device_of(tensor) in self.devices and dtype in self.dtypes


def device_of(tensor: paddle.Tensor) -> str:
    """Return Paddle's name of the kind of device: cpu, gpu, xpu, or a custom one."""
    return str(tensor.place).removeprefix("Place(").split(":")[0].rstrip(")")


@functools.cache
def from_environment() -> Mapping[str, str]:
    """Return the choices of ``HFPADDLE_KERNELS``: "op=implementation, ...", or "reference" for all.

    Raises: UnsupportedArgumentError for anything else, and for an unknown op.
    """
    said = os.environ.get("HFPADDLE_KERNELS", "").strip()
    if said == "reference":
        return dict.fromkeys(OPS, said)
    pairs = [pair.partition("=") for pair in said.split(",") if pair.strip()]
    choices = {name.strip(): choice.strip() for name, _, choice in pairs}
    for name, choice in choices.items():
        if name not in OPS or not choice:
            raise UnsupportedArgumentError(
                f"HFPADDLE_KERNELS={said!r}: {name!r} is no op=implementation"
                f"{nearest(name, OPS)}. Known ops: {sorted(OPS)}."
            )
    return choices


def choices() -> Mapping[str, str]:
    """Return the implementation of each op that the user wants: here, or for the whole process."""
    here = forced.get()
    return from_environment() if here is None else here


@functools.cache
def discover(device: str) -> None:
    """Import the implementations for a kind of device, if this installation has any."""
    name = f"hfpaddle.kernels.{device}"
    if importlib.util.find_spec(name) is not None:
        importlib.import_module(name)


class Op:
    """A callable with a reference and any number of implementations."""

    def __init__(self, reference: Callable[..., Any]) -> None:
        functools.update_wrapper(self, reference)
        self.name = reference.__name__
        self.reference = reference
        self.impls: list[Implementation] = []
        self._known: dict[Any, list[Implementation]] = {}
        OPS[self.name] = self

    def candidates(self, tensor: paddle.Tensor) -> list[Implementation]:
        """Return what fits the device and dtype of ``tensor``, best first.

        Raises: UnsupportedArgumentError if the implementation that the user forced does not.
        """
        device = device_of(tensor)
        discover(device)
        wanted = choices().get(self.name)
        if wanted == "reference":
            return []
        found = [i for i in self.impls if wanted in (None, i.name) and i.fits(tensor)]
        if wanted is not None and not found:
            names = [impl.name for impl in self.impls] + ["reference"]
            raise UnsupportedArgumentError(
                f"kernels.use({self.name}={wanted!r}): no such implementation for {tensor.dtype} "
                f"on {tensor.place}. Known for this op: {names}."
            )
        return found

    def choose(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Return the function that runs for a call with these arguments."""
        # Asking a tensor for its device's name costs more than a small op: remember the answer.
        key = (x.place._type(), x.dtype, choices().get(self.name))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.candidates(x)
        for impl in found:
            if impl.accepts is None or impl.accepts(x, *args, **kwargs):
                return impl.fn
        return self.reference

    def __call__(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.choose(x, *args, **kwargs)(x, *args, **kwargs)


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
    accepts: Callable[..., bool] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Attach a fast implementation to ``target``, with its limits and its tolerance per dtype.

    ``accepts`` gets the arguments of a call and tells whether it runs this one (sizes, gradients).
    """

    def attach(fn: Callable[..., Any]) -> Callable[..., Any]:
        if any(impl.name == name for impl in target.impls):
            raise ValueError(f"{target.name} has an implementation {name!r} already.")
        # Those of the ops' own files are registered first; a kernel, found later, goes before them.
        target.impls.insert(0, Implementation(name, fn, devices, dtypes, rtol or {}, accepts))
        target._known.clear()
        return fn

    return attach
