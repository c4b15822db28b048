"""numpy's names of arguments, which torch's native functions take beside their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def with_numpy_names(function: Any) -> Any:
    """Let ``function`` take ``axis`` for its ``dim``, and ``keepdims`` for its ``keepdim``.

    Returns ``function`` itself where it has no such parameter, or is no plain function.
    """
    if not isinstance(function, FunctionType):
        return function
    signature = inspect.signature(function)
    parameters = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = {
        numpys: torchs
        for numpys, torchs in _NAMES.items()
        if numpys not in parameters and (torchs in parameters or open_ended)
    }
    if not names:
        return function
    renamed = _renaming(function, names)
    renamed.__signature__ = _with_keywords(signature, names)  # type: ignore[attr-defined]
    return renamed


def _with_keywords(signature: inspect.Signature, names: dict[str, str]) -> inspect.Signature:
    """Return ``signature`` with further keywords: `hfpaddle check` reads what a function takes."""
    parameters = list(signature.parameters.values())
    last = parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    rest = [parameters.pop()] if last else []
    more = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in names]
    return signature.replace(parameters=[*parameters, *more, *rest])


def _renaming(function: Callable, names: dict[str, str]) -> Callable:
    @functools.wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for numpys, torchs in names.items():
                if numpys in kwargs and torchs not in kwargs:
                    kwargs[torchs] = kwargs.pop(numpys)
        return function(*args, **kwargs)

    return renamed


def native_functions(names: dict[str, Any], package: str) -> dict[str, Any]:
    """Return the functions of ``names`` that take numpy's names from here on.

    They belong to ``package``, so that pickle finds them there.
    """
    found = {}
    for name, value in names.items():
        home = getattr(value, "__module__", None) or ""
        if not name.startswith("_") and home.startswith(f"{package}._"):
            wrapped = with_numpy_names(value)
            if wrapped is not value:
                wrapped.__module__, wrapped.__qualname__ = package, name
                found[name] = wrapped
    return found
