"""``torch.cuda.amp``: the older names of ``torch.amp``."""

from __future__ import annotations

import importlib
from typing import Any


def autocast(enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> Any:
    """``torch.amp.autocast`` on the GPU."""
    amp = importlib.import_module("hfpaddle.torch.amp")
    chosen = {} if dtype is None else {"dtype": dtype}
    return amp.autocast("cuda", enabled=enabled, cache_enabled=cache_enabled, **chosen)


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("hfpaddle.torch.amp"), name)
