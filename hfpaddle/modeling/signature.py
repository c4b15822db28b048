"""Argument orders of families whose forward pass differs from the common decoder's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def argument_order(*names: str) -> Callable[[type], type]:
    """Let ``forward`` of the decorated class take ``names`` first, in this order.

    Names that the inherited forward pass does not spell out reach it by keyword. Scripts, trainers
    and generate look at the signature, so it names the family's own arguments.
    """

    def mark(cls: Any) -> Any:
        plain = cls.forward
        signature = inspect.signature(plain)
        given = dict(signature.parameters)
        slot = given["input_ids"]
        ordered = {"self": given["self"]} | {name: slot.replace(name=name) for name in names}
        ordered |= {name: p for name, p in given.items() if name not in ordered}
        signature = signature.replace(parameters=list(ordered.values()))

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs).arguments
            rest = bound.pop("kwargs", {})
            return plain(**bound, **rest)

        forward.__signature__ = signature  # type: ignore[attr-defined]
        cls.forward = forward
        return cls

    return mark
