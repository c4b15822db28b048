"""``torch.compiler``: nothing is compiled, so every switch has nothing to do."""

from __future__ import annotations

from typing import Any

from hfpaddle.torch._missing import decorator as disable
from hfpaddle.torch._settings import compile

__emulated__ = True

allow_in_graph = assume_constant_result = substitute_in_graph = disable


def is_compiling() -> bool:
    """Never."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def reset() -> None:
    """Nothing to forget."""


def cudagraph_mark_step_begin() -> None:
    """Nothing to mark."""


def set_stance(stance: str = "default", **_: Any) -> None:
    """Nothing to choose."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """None."""
    return []


__all__ = ["compile", "disable", "is_compiling", "reset"]
