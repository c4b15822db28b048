"""Modules that hold numbers and call one function: built from a table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from hfpaddle.torch.nn.modules.module import Module

REQUIRED = inspect.Parameter.empty


def simple(
    name: str, function: Callable, doc: str, /, calls: dict[str, Any] | None = None,
    **fields: Any,
) -> type:  # fmt: skip
    """A Module class whose constructor takes ``fields`` (name -> default) and keeps them.

    ``calls`` are constant arguments. ``function`` receives the input, and each field by name.
    """
    parameters = [
        inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for key, default in fields.items()
    ]
    signature, constants = inspect.Signature(parameters), calls or {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        Module.__init__(self)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for key, value in bound.arguments.items():
            setattr(self, key, value)

    def forward(self, input):
        return function(input, **constants, **{key: getattr(self, key) for key in fields})

    def extra_repr(self) -> str:
        shown = {key: getattr(self, key) for key in fields}
        return ", ".join(
            f"{key}={value!r}" for key, value in shown.items() if key != "inplace" or value
        )

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = signature.replace(parameters=[own, *parameters])  # type: ignore[attr-defined]
    body = {"__init__": __init__, "forward": forward, "extra_repr": extra_repr, "__doc__": doc}
    return type(name, (Module,), body | {"__module__": "hfpaddle.torch.nn.modules"})
