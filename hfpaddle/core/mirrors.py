"""Which packages have mirrors here, and whether their names mean the mirrors in this process."""

from __future__ import annotations

import functools
from pathlib import Path

# Packages that nothing in the process needs for itself: their names become plain aliases.
ALIASED = ("torch", "torchvision", "accelerate", "peft", "diffusers", "trl")
# A module of a package that stays real otherwise -> where ours is.
ALIASED_MODULES = {"safetensors.torch": "hfpaddle.torch.safetensors"}
TWO_FACED = "transformers"

_ROOT = Path(__file__).parents[1]


@functools.cache
def mirrored(package: str) -> bool:
    """Whether hfpaddle has a mirror of the top-level ``package``."""
    return (_ROOT / package / "__init__.py").is_file()


def mirror_of(name: str) -> str | None:
    """Return the module that stands for ``name`` under the hook, or None if ``name`` is kept."""
    if name in ALIASED_MODULES:
        return ALIASED_MODULES[name]
    return f"hfpaddle.{name}" if name.partition(".")[0] in ALIASED else None


_hooked = False


def set_hooked(on: bool) -> None:
    """Called by `hfpaddle.hook` alone."""
    global _hooked
    _hooked = on


def is_hooked() -> bool:
    """Whether ``import torch`` of a script gives the mirror (``hfpaddle.install()``)."""
    return _hooked
