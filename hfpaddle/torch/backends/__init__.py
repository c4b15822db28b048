"""``torch.backends``: switches that scripts set, kept and, where Paddle has one, passed on."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

__emulated__ = True

mkl = SimpleNamespace(is_available=lambda: True)
openmp = SimpleNamespace(is_available=lambda: True)
mkldnn = SimpleNamespace(is_available=lambda: True, enabled=True)
opt_einsum = SimpleNamespace(is_available=lambda: False, enabled=False)
xeon = SimpleNamespace()


def __getattr__(name: str) -> Any:
    if name in ("cuda", "cudnn", "mps"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.backends' (hfpaddle.torch.backends) has no {name!r}")
