"""Names that scripts import and that have no implementation: calling one says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from hfpaddle.core.errors import MissingFeatureError


def missing(name: str, remedy: str) -> Callable[..., NoReturn]:
    """A function that raises MissingFeatureError with ``remedy`` when called."""

    def call(*_: Any, **__: Any) -> NoReturn:
        raise MissingFeatureError(f"torch.{name} has no implementation in hfpaddle. {remedy}")

    call.__name__ = call.__qualname__ = name.rpartition(".")[2]
    return call


def decorator(function: Any = None, **_: Any) -> Any:
    """A decorator, with or without arguments, that changes nothing."""
    return function if callable(function) else lambda inner: inner
