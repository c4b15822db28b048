"""Switch torch's methods on Paddle's own classes on and off.

Scripts hold ``paddle.Tensor`` and ``paddle.nn.Layer`` objects. ``install_methods`` gives those
classes the methods of torch, ``uninstall_methods`` puts back what was there. A method is either

- ``added``: Paddle has none of that name; or
- ``by caller``: Paddle has one with another meaning. Code of a library written for Paddle (the
  ``paddle*`` packages, safetensors, hfpaddle itself) keeps Paddle's meaning, all other code
  gets torch's. The module of the calling frame decides; Python's own modules and numpy
  work for whoever called them.

``switched_methods`` returns the table, which `hfpaddle check` and the documentation read.

Cost, ns a call, measured on small float32 tensors on a CPU (best of 7 runs of 20000 calls,
paddlepaddle 3.3.1, Python 3.11): bare Paddle, a library with the methods on, a script.

    x + y             2260    2690    3160
    x < y             1840    2190    2730
    x[0]              2330    2940    3000
    x.shape            200     500     930
    x.reshape([2, 8]) 3160    4170    5270
    x.sum()           2380    2890    4700
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from functools import partial
from sys import _getframe
from typing import Any, NamedTuple

from hfpaddle.torch._numpy_names import with_numpy_names

ADDED, BY_CALLER = "added", "by caller"

# Parts of the torch surface that are written in torch's terms; the rest of hfpaddle is in Paddle's.
_IN_TORCH_TERMS = tuple(
    f"hfpaddle.torch.{part}" for part in ("nn", "optim", "utils", "amp", "safetensors")
)
_PADDLE_LIBRARIES = ("paddle", "hfpaddle", "safetensors", "visualdl")
_MISSING: Any = object()


class Switched(NamedTuple):
    """One switched attribute: ``owner`` is "Tensor", "Layer", ...; ``kind`` added or by caller."""

    owner: str
    name: str
    kind: str
    note: str


_SCRIPT, _LIBRARY, _NEUTRAL = 0, 1, 2


class _Callers(dict):
    """Module name -> whose meaning its code has. Filled as modules call."""

    def __missing__(self, module: str) -> int:
        top = module.partition(".")[0]
        paddles = top.startswith("paddle") or top in _PADDLE_LIBRARIES
        own = module.startswith(_IN_TORCH_TERMS) or (
            module.startswith("hfpaddle.torch.") and module.endswith("_test")
        )
        value = _LIBRARY if paddles and not own else _SCRIPT
        if top == "numpy" or top in sys.stdlib_module_names:
            value = _NEUTRAL  # works for whoever called it
        self[module] = value
        return value


_callers = _Callers()


def _library_behind(frame: Any) -> bool:
    """Whether the first frame that is not neutral belongs to a library written for Paddle."""
    while frame is not None:
        kind = _callers[frame.f_globals.get("__name__", "")]
        if kind != _NEUTRAL:
            return kind == _LIBRARY
        frame = frame.f_back
    return False


class _Entry(NamedTuple):
    owner: type
    name: str
    value: Any
    row: Switched


_entries: list[_Entry] = []
_originals: list[tuple[type, str, Any]] = []


def added(owner: type, name: str, value: Any, note: str = "") -> None:
    """Declare an attribute that Paddle lacks. One that it has is left alone, and not listed."""
    if not hasattr(owner, name):
        _declare(owner, name, with_numpy_names(value), ADDED, note)


def by_caller(owner: type, name: str, function: Callable, note: str) -> None:
    """Declare a method with two meanings: Paddle's for libraries, ``function`` for scripts.

    Where Paddle has no such method there is one meaning, and it is an added one.
    """
    function = with_numpy_names(function)
    original = getattr(owner, name, None)
    if original is None:
        return _declare(owner, name, function, ADDED, note)
    if not callable(original):  # Paddle has an attribute of that name
        return property_by_caller(owner, name, lambda self: partial(function, self), note=note)

    def method(self, *args, **kwargs):
        frame = _getframe(1)
        kind = _callers[frame.f_globals.get("__name__", "")]
        if kind and (kind == _LIBRARY or _library_behind(frame)):
            return original(self, *args, **kwargs)
        return function(self, *args, **kwargs)

    functools.update_wrapper(method, function)
    method.__name__ = name
    _declare(owner, name, method, BY_CALLER, note)


def operator_by_caller(owner: type, name: str, function: Callable, note: str) -> None:
    """As :func:`by_caller` for a method of one argument, without the cost of packing it."""
    original = getattr(owner, name, None) or _not_implemented

    def method(self, other):
        frame = _getframe(1)
        kind = _callers[frame.f_globals.get("__name__", "")]
        if kind and (kind == _LIBRARY or _library_behind(frame)):
            return original(self, other)
        return function(self, other)

    method.__name__ = name
    _declare(owner, name, method, BY_CALLER, note)


def property_by_caller(
    owner: type, name: str, get: Callable, set: Callable | None = None, note: str = ""
) -> None:
    """Declare an attribute with two meanings. Without ``set``, setting keeps Paddle's meaning."""
    original = getattr(owner, name)

    def getter(self):
        frame = _getframe(1)
        kind = _callers[frame.f_globals.get("__name__", "")]
        if kind and (kind == _LIBRARY or _library_behind(frame)):
            return original.__get__(self)
        return get(self)

    def setter(self, value):
        if set is None or _library_behind(_getframe(1)):
            return original.__set__(self, value)
        return set(self, value)

    _declare(owner, name, property(getter, setter), BY_CALLER, note)


def install_methods() -> None:
    """Switch every declared attribute on that is not on yet."""
    if not _originals:
        for entry in _entries:
            _switch_on(entry)


def _switch_on(entry: _Entry) -> None:
    owner, name, value, _ = entry
    _originals.append((owner, name, vars(owner).get(name, _MISSING)))
    setattr(owner, name, value)


def uninstall_methods() -> None:
    """Put every attribute back as Paddle made it."""
    while _originals:
        owner, name, original = _originals.pop()
        if original is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


def is_on() -> bool:
    """Whether the declared attributes are on."""
    return bool(_originals)


def switched_methods() -> list[Switched]:
    """The table of declared attributes, in order of owner and name."""
    return sorted(entry.row for entry in _entries)


def _declare(owner: type, name: str, value: Any, kind: str, note: str) -> None:
    if any(entry.owner is owner and entry.name == name for entry in _entries):
        raise ValueError(f"{owner.__name__}.{name} is declared twice")
    entry = _Entry(owner, name, value, Switched(owner.__name__, name, kind, note))
    _entries.append(entry)
    if _originals:  # declared by a part that loads late
        _switch_on(entry)


def _not_implemented(self, *args):
    return NotImplemented
