"""Modules of transformers that scripts reach into, importable here without a file each.

They are entries in ``sys.modules`` below our own package: no import hook, nothing patched.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "hfpaddle.transformers"
SUBMODULES = (
    "configuration_utils feature_extraction_utils generation.candidate_generator "
    "generation.configuration_utils generation.logits_process generation.stopping_criteria "
    "generation.streamers generation.utils hf_argparser image_processing_utils image_utils "
    "processing_utils tokenization_utils tokenization_utils_base tokenization_utils_fast "
    "trainer_callback utils utils.generic utils.hub utils.import_utils utils.logging utils.versions"
).split()


class MirrorModule(ModuleType):
    """A submodule such as ``models.llama.modeling_llama``, resolved name by name."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{PACKAGE}.{path}", f"Mirror of transformers.{path} on Paddle.")
        self.__path__: list[str] = []
        self.__upstream__ = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{self.__name__}.{name}"
        if full in sys.modules:
            return sys.modules[full]
        from hfpaddle.core.quiet import import_transformers

        import_transformers()
        from hfpaddle.transformers.mirror import resolve_in

        return resolve_in(self.__upstream__, name)


def register_submodule(path: str) -> None:
    """Make ``hfpaddle.transformers.<path>`` importable, unless a file of ours is."""
    name = f"{PACKAGE}.{path}"
    file = Path(__file__).parent.joinpath(*path.split("."))
    if name not in sys.modules and not file.exists() and not file.with_suffix(".py").exists():
        sys.modules[name] = MirrorModule(path)
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:  # as the import system does for a module that it loads
            setattr(sys.modules[parent], child, sys.modules[name])
