"""Tell the real transformers that torch and the other mirrored packages are not there.

Its torch-free parts work without them. Asked whether torch exists it would find the mirror, and
import model files that are written for the real one.
"""

from __future__ import annotations

import functools
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from hfpaddle.core.mirrors import ALIASED

ASKED = "transformers.utils.import_utils"
_originals: dict[str, Any] = {}


class _HidingLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _hide(module)


class _HidingFinder(MetaPathFinder):
    """Sees the module that is asked for packages load, whenever that is."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != ASKED:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _HidingLoader(spec.loader.name, spec.loader.path)
        return spec


_finder = _HidingFinder()


def install() -> None:
    sys.meta_path.insert(0, _finder)
    if ASKED in sys.modules:
        _hide(sys.modules[ASKED])


def uninstall() -> None:
    sys.meta_path.remove(_finder)
    module = sys.modules.get(ASKED)
    if module is not None and _originals:
        vars(module).update(_originals)
        _forget_answers(module)
    _originals.clear()


def _hide(module: ModuleType) -> None:
    original = module._is_package_available
    _originals["_is_package_available"] = original

    @functools.wraps(original)
    def is_package_available(pkg_name: str, return_version: bool = False) -> tuple[bool, Any]:
        if pkg_name.partition(".")[0] in ALIASED:
            return False, "N/A" if return_version else None
        return original(pkg_name, return_version)

    vars(module)["_is_package_available"] = is_package_available
    _forget_answers(module)


def _forget_answers(module: ModuleType) -> None:
    for value in vars(module).values():
        if callable(getattr(value, "cache_clear", None)):
            value.cache_clear()
