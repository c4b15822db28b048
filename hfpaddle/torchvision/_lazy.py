"""Attributes of the torchvision modules that are not there."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from hfpaddle.core.errors import nearest
from hfpaddle.core.stand_in import stand_in


def missing_names(
    module: str, names: Mapping[str, Any], lacking: Mapping[str, str], parts: tuple[str, ...] = ()
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module.

    Args:
        module: name of the module, ``hfpaddle.torchvision...``.
        names: what it holds, for the nearest name.
        lacking: names of the original without an implementation -> what to use in their place.
            They import, and raise MissingFeatureError when used.
        parts: submodules, imported when they are asked for.
    """
    shown = module.removeprefix("hfpaddle.")

    def __getattr__(name: str) -> Any:
        if name in lacking:
            message = f"{shown}.{name} has no implementation in hfpaddle. {lacking[name]}"
            return stand_in(name, module, message)
        if name in parts:
            return importlib.import_module(f"{module}.{name}")
        known = [key for key in (*names, *parts) if not key.startswith("_")]
        raise AttributeError(
            f"module '{shown}' ({module}) has no attribute {name!r}{nearest(name, known)}"
        )

    return __getattr__
