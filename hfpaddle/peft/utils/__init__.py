"""Tools of peft that scripts reach into; each lives in a file of this folder."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from hfpaddle.core.errors import nearest

_FILES = ("peft_types", "constants", "error", "warning", "merge_utils", "other", "save_and_load")
_FILES += ("base_state", "hotswap")


def __getattr__(name: str) -> Any:
    # A file of this folder is for Python's own import to find.
    if not name.startswith("__") and importlib.util.find_spec(f"{__name__}.{name}") is None:
        for file in _FILES:
            module = importlib.import_module(f"{__name__}.{file}")
            if name in vars(module):
                return vars(module)[name]
    else:
        raise AttributeError(name)
    known = [n for file in _FILES for n in vars(importlib.import_module(f"{__name__}.{file}"))]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{nearest(name, known)}")
