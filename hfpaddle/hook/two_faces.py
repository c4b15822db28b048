"""``import transformers`` means the mirror in scripts, and the real one in hfpaddle and in itself.

An import statement calls ``builtins.__import__`` with the globals of the module that it stands in,
so the importing module decides. ``sys.modules`` keeps the real one.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from hfpaddle.core.errors import nearest
from hfpaddle.core.mirrors import ALIASED, TWO_FACED, mirrored
from hfpaddle.core.quiet import import_transformers

# Packages that get the real transformers. Modules of Python itself (pickle, runpy) look names up in
# ``sys.modules`` for whoever called them.
_REAL = frozenset({"hfpaddle", "transformers", *sys.stdlib_module_names}) - {"__main__"}

_import = builtins.__import__
_import_module = importlib.import_module


def install() -> None:
    builtins.__import__ = _scripts_import
    importlib.import_module = _scripts_import_module


def uninstall() -> None:
    builtins.__import__ = _import
    importlib.import_module = _import_module


def _scripts_import(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0:
        top = name.partition(".")[0]
        if top == TWO_FACED and not _gets_real(globals, fromlist):
            module = mirror(name)
            if not fromlist:
                return sys.modules["hfpaddle.transformers"]
            _register_submodules(module, name, fromlist)
            return _import(f"hfpaddle.{name}", globals, locals, fromlist, 0)
        if top in ALIASED and not mirrored(top):
            raise no_mirror(top)
    return _import(name, globals, locals, fromlist, level)


def _scripts_import_module(name: str, package: str | None = None) -> Any:
    """``importlib.import_module``; Python's own modules that call it do so for a script."""
    if name.partition(".")[0] == TWO_FACED:
        frame: Any = sys._getframe(1)
        while frame is not None and _top(frame.f_globals) in sys.stdlib_module_names:
            frame = None if _top(frame.f_globals) == "__main__" else frame.f_back
        if frame is None or not _gets_real(frame.f_globals, ()):
            return mirror(name)
    return _import_module(name, package)


def _top(globals: dict[str, Any] | None) -> str:
    return ((globals or {}).get("__name__") or "").partition(".")[0]


def _gets_real(globals: dict[str, Any] | None, fromlist: Any) -> bool:
    # C code that imports (unpickling is one) passes a list, and looks in sys.modules afterwards.
    return isinstance(fromlist, list) or _top(globals) in _REAL


def mirror(name: str) -> Any:
    """Return the mirror of ``transformers.<path>``.

    Raises: ModuleNotFoundError if upstream has no such module either.
    """
    import_transformers()
    path = name.partition(".")[2]
    _import_module("hfpaddle.torch")  # a script without `import torch` holds its tensors, too
    _import_module("hfpaddle.transformers")
    if path:
        _register(path)
    module = _import_module(f"hfpaddle.{name}")
    if path and type(module) is ModuleType:
        own = vars(module).get("__getattr__")
        if not isinstance(own, functools.partial):
            module.__getattr__ = functools.partial(_attribute, own, path)
    return module


def _attribute(own: Callable[[str], Any] | None, path: str, name: str) -> Any:
    """A name that the mirror's file for ``transformers.<path>`` has not, and upstream's may."""
    if own is not None:
        with contextlib.suppress(AttributeError):
            return own(name)
    return _import_module("hfpaddle.transformers.mirror").resolve_in(path, name)


def _register(path: str) -> None:
    """Make ``hfpaddle.transformers.<path>`` importable where upstream has a module of that path."""
    register = _import_module("hfpaddle.transformers.submodules").register_submodule
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        if not _upstream_has(part):
            missing = f"transformers.{part}"
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        register(part)


def _upstream_has(path: str) -> bool:
    """Whether transformers has a module of that path. Looked up in its folder: the import system
    would import the modules above it, and many of those need the real torch.
    """
    import transformers

    place = Path(transformers.__path__[0]).joinpath(*path.split("."))
    if place.is_dir() or place.with_suffix(".py").is_file():
        return True
    # Modules by their older names, which transformers knows at the top level.
    return "." not in path and importlib.util.find_spec(f"transformers.{path}") is not None


def _register_submodules(module: Any, name: str, fromlist: Any) -> None:
    """``from transformers import activations``: a name that is no attribute may be a module."""
    for item in fromlist:
        if item != "*" and not hasattr(module, item):
            with contextlib.suppress(ModuleNotFoundError):
                _register(f"{name}.{item}".partition(".")[2])


def no_mirror(package: str) -> ModuleNotFoundError:
    known = [name for name in ALIASED if mirrored(name)]
    return ModuleNotFoundError(
        f"No module named {package!r}: hfpaddle has no mirror of {package} yet, and the original "
        f"needs torch{nearest(package, known)}. Mirrored: {', '.join([*known, TWO_FACED])}.",
        name=package,
    )
