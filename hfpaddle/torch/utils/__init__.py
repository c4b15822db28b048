"""``torch.utils``. Its parts are imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

from hfpaddle.core.errors import nearest as _nearest
from hfpaddle.torch.utils import data

__all__ = ["_pytree", "checkpoint", "cpp_extension", "data", "tensorboard"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(
        f"hfpaddle's torch.utils has no attribute {name!r}{_nearest(name, __all__)}"
    )
