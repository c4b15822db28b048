"""One package a method. The folder is the list: what lies here registers itself."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from hfpaddle.core.errors import nearest
from hfpaddle.peft import mapping
from hfpaddle.peft.tuners import configs
from hfpaddle.peft.utils.peft_types import PeftType


def discover() -> dict[str, Any]:
    """Import every method's package and return the public names of all.

    Methods without a package have a config all the same.
    """
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.ispkg:
            package = importlib.import_module(f"{__name__}.{info.name}")
            found |= {name: getattr(package, name) for name in getattr(package, "__all__", ())}
    for kind, cls in configs.CONFIGS.items():
        mapping.PEFT_TYPE_TO_CONFIG_MAPPING.setdefault(PeftType(kind), cls)
        found[cls.__name__] = cls
    return found


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.core.stand_in import StandIn

    names = discover()
    if name == "MixedModel":
        return importlib.import_module(f"{__name__}.mixed").MixedModel
    known = getattr(importlib.import_module("hfpaddle.peft"), name, None)
    if isinstance(known, StandIn):
        return known
    if name not in names:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{nearest(name, names)}")
    return names[name]
