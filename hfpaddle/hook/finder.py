"""The finder behind the aliases: ``torch.nn`` is the module ``hfpaddle.torch.nn``, not a copy."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors

from hfpaddle.core.mirrors import ALIASED, ALIASED_MODULES, mirror_of, mirrored


class AliasLoader(Loader):
    """Gives the mirror's own module under the original's name."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        importlib.import_module("hfpaddle.torch")  # whose tensors the script will hold
        module = importlib.import_module(self.target)
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own_spec  # the import system has just replaced it


def version_of(package: str) -> str:
    """Return the version that the mirror of ``package`` states, without importing it.

    transformers asks every installed distribution for its name and version when it starts.
    """
    spec = importlib.util.find_spec(f"hfpaddle.{package}")
    source = Path(spec.origin).read_text() if spec and spec.origin else ""
    stated = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    return stated[1] if stated else importlib.import_module(f"hfpaddle.{package}").__version__


class MirrorDistribution(Distribution):
    """Name and version of a mirror, for ``importlib.metadata.version("torch")``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        version = version_of(self._name)
        return f"Metadata-Version: 2.1\nName: {self._name}\nVersion: {version}\n"

    def locate_file(self, path: Any) -> Any:
        return path


class MirrorFinder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        name = mirror_of(fullname)
        if name is None or not _exists(name):
            return None
        return ModuleSpec(fullname, AliasLoader(name))

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        wanted = context.name if context else None
        for name in ALIASED:
            if mirrored(name) and wanted in (None, name):
                yield MirrorDistribution(name)


_finder = MirrorFinder()
_replaced: dict[str, Any] = {}
_ABSENT: Any = object()


@functools.wraps(safetensors.safe_open, updated=())
def _safe_open(*args: Any, **kwargs: Any) -> Any:
    """``safetensors.safe_open`` whose tensors are Paddle's; other frameworks get the library's."""
    ours = importlib.import_module(ALIASED_MODULES["safetensors.torch"])
    return ours.safe_open(*args, **kwargs)


def install() -> None:
    """Answer for the mirrors' names. A package without a mirror is as if it were not installed."""
    sys.meta_path.insert(0, _finder)
    safetensors.safe_open = _safe_open
    for name in ALIASED_MODULES:
        _replaced[name] = sys.modules.pop(name, _ABSENT)
    for name in ALIASED:
        if not mirrored(name):
            _replaced[name] = _ABSENT
            sys.modules[name] = None  # type: ignore[assignment]


def uninstall() -> None:
    sys.meta_path.remove(_finder)
    safetensors.safe_open = inspect.unwrap(_safe_open)
    for name in [name for name in sys.modules if mirror_of(name)]:
        del sys.modules[name]
    sys.modules.update({k: v for k, v in _replaced.items() if v is not _ABSENT})
    _replaced.clear()


def _exists(name: str) -> bool:
    if name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
