"""Names that an original library has and this package lacks: they import, and using one raises."""

from __future__ import annotations

from typing import Any

from hfpaddle.core.errors import MissingFeatureError


class StandIn(type):
    """Metaclass of such names: every call and every attribute raises MissingFeatureError."""

    message: str

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise MissingFeatureError(cls.message)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):  # Python's own tools look for such, inspect for one
            raise AttributeError(name)
        raise MissingFeatureError(cls.message)


def stand_in(name: str, where: str, message: str) -> type:
    """Return a class called ``name`` of module ``where`` that raises ``message`` when used."""
    return StandIn(name, (), {"message": message, "__module__": where})
