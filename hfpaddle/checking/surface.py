"""What a dotted name of an original library stands for here, and what becomes of its use.

Names are looked up in the mirrors themselves, as the hook would: nothing is listed here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from hfpaddle.checking import source
from hfpaddle.checking.original_names import ORIGINAL_NAMES
from hfpaddle.checking.report import Finding, Verdict
from hfpaddle.checking.values import UNKNOWN, Instance, Literal, Module, Thing, Value
from hfpaddle.core import mirrors
from hfpaddle.core.errors import MissingFeatureError, nearest
from hfpaddle.core.stand_in import StandIn
from hfpaddle.hook import two_faces

WORKS = Finding(Verdict.WORKS)
_TOPS = (*mirrors.ALIASED, mirrors.TWO_FACED)


@contextlib.contextmanager
def under_the_hook() -> Iterator[None]:
    """Answer as under ``hfpaddle run``: torch's methods are on, availability is the mirrors'."""
    switch = sys.modules.get("hfpaddle.torch._switch")
    hooked, on = mirrors.is_hooked(), switch is not None and switch.is_on()
    torch = importlib.import_module("hfpaddle.torch")
    torch.install_methods()
    mirrors.set_hooked(True)
    try:
        yield
    finally:
        mirrors.set_hooked(hooked)
        if not on:
            torch.uninstall_methods()


def covers(name: str) -> bool:
    """Whether ``import name`` gives something of ours under the hook."""
    return name.partition(".")[0] in _TOPS or name in mirrors.ALIASED_MODULES


def load(name: str) -> ModuleType:
    """Return the module of ours that ``import name`` gives under the hook.

    Raises: ModuleNotFoundError if there is none.
    """
    top = name.partition(".")[0]
    if top == mirrors.TWO_FACED:
        return two_faces.mirror(name)
    if top in mirrors.ALIASED and not mirrors.mirrored(top):
        raise two_faces.no_mirror(top)
    target = mirrors.mirror_of(name)
    if target is None or not _exists(target):
        kept = name in mirrors.ALIASED_MODULES
        why = "the original needs torch" if kept else f"hfpaddle.{top} has no such module"
        raise ModuleNotFoundError(f"No module named {name!r}: {why}", name=name)
    return importlib.import_module(target)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def import_module(name: str) -> tuple[Value, Finding]:
    """Return what ``import name`` binds under that name, and the verdict on it."""
    try:
        module = load(name)
    except Exception as error:  # importing what is passed through can raise anything
        kind = ImportError if isinstance(error, (ImportError, ValueError)) else type(error)
        return UNKNOWN, Finding(Verdict.FAILS, _short(error), kind)
    how = _module_how(module)
    return Module(name), Finding(Verdict.EMULATED, how) if how else WORKS


def _short(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _module_how(module: ModuleType | None) -> str:
    """How a module that has ``__emulated__`` is emulated, from its docstring."""
    if not getattr(module, "__emulated__", False):
        return ""
    line = source.first_line(module).rstrip(".")
    return line.partition(": ")[2] or line


# Attributes


def attribute(value: Value, name: str) -> tuple[Value, Finding | None, str]:
    """Return ``value.name``, the verdict on it (None: nothing to say) and its full name."""
    if isinstance(value, Module):
        return (*_of_module(value, name), f"{value.name}.{name}")
    if isinstance(value, Thing):
        return (*_of_thing(value, name), f"{value.name}.{name}")
    if isinstance(value, Instance):
        return (*_of_instance(value, name), f"{value.name}.{name}")
    return UNKNOWN, None, name


def _of_module(module: Module, name: str) -> tuple[Value, Finding | None]:
    full, loaded = f"{module.name}.{name}", load(module.name)
    try:
        found = getattr(loaded, name)
    except AttributeError as error:
        with contextlib.suppress(Exception):
            load(full)
            return Module(full), None
        return UNKNOWN, Finding(Verdict.FAILS, _without_prefix(error), AttributeError)
    except Exception as error:
        return UNKNOWN, Finding(Verdict.FAILS, _short(error), type(error))
    if isinstance(found, ModuleType) and found.__name__.startswith("hfpaddle."):
        return Module(full), None
    return Thing(found, full), describe(found, loaded)


def _without_prefix(error: AttributeError) -> str:
    """The message, which begins with the module's name, shortened to what a reader needs."""
    text = _short(error)
    _, found, hint = text.partition("(nearest: ")
    return f"not in hfpaddle (nearest: {hint}" if found else "not in hfpaddle"


def _of_thing(thing: Thing, name: str) -> tuple[Value, Finding | None]:
    value = thing.value
    if isinstance(value, StandIn):
        return UNKNOWN, use(thing)
    missing: Any = object()
    try:
        found = getattr(value, name, missing)
    except Exception as error:
        return UNKNOWN, Finding(Verdict.FAILS, _short(error), type(error))
    if found is not missing:
        return Thing(found, f"{thing.name}.{name}", thing), describe(found, None)
    if isinstance(value, type):
        return UNKNOWN, _missing_attribute(value, name, True)
    return UNKNOWN, _missing_attribute(type(value), name, True)


def _of_instance(instance: Instance, name: str) -> tuple[Value, Finding | None]:
    if name in instance.given:
        return instance.given[name], None
    cls = instance.cls
    static = inspect.getattr_static(cls, name, None)
    if static is not None:
        if not callable(static) and not isinstance(static, (classmethod, staticmethod)):
            return _property_value(static), _of_row(cls, name) or WORKS
        found = getattr(cls, name, static)
        return Thing(found, f"{instance.name}.{name}", instance), _of_row(cls, name) or describe(
            found, None
        )
    if name in source.attributes(cls):
        return UNKNOWN, WORKS
    return UNKNOWN, _missing_attribute(cls, name, instance.exact)


def _property_value(static: Any) -> Value:
    getter = getattr(static, "fget", None)
    cls = source.returned_class(getter) if getter is not None else None
    return Instance(cls, cls.__name__) if cls is not None and source.ours(cls) else UNKNOWN


def _missing_attribute(cls: type, name: str, exact: bool) -> Finding | None:
    """The verdict on an attribute that ``cls`` lacks; None where it may come about when it runs."""
    for original, ours in _dynamic():
        if issubclass(cls, ours) and name in ORIGINAL_NAMES[original]:
            if not exact and any(hasattr(sub, name) for sub in _subclasses(cls)):
                return WORKS
            known = [n for n in ORIGINAL_NAMES[original] if hasattr(cls, n)]
            how = f"not in hfpaddle{nearest(name, known)}"
            return Finding(Verdict.FAILS, how, AttributeError)
    if not exact or not source.is_closed(cls):
        return None
    hidden = name.startswith("_")
    known = [n for n in source.attributes(cls) if hidden or not n.startswith("_")]
    how = f"{cls.__name__} has no {name!r}{nearest(name, known)}"
    return Finding(Verdict.FAILS, how, AttributeError)


def _dynamic() -> list[tuple[str, type]]:
    """Original classes whose objects can hold any name -> ours."""
    import paddle

    from hfpaddle.modeling.base import PreTrainedModel

    return [
        ("torch.Tensor", paddle.Tensor),
        ("transformers.PreTrainedModel", PreTrainedModel),
        ("torch.nn.Module", paddle.nn.Layer),
    ]


def _subclasses(cls: type) -> Iterator[type]:
    for part in ("decoder", "encoder", "encoder_decoder"):
        importlib.import_module(f"hfpaddle.modeling.{part}")
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def method_of_unknown(name: str) -> Finding | None:
    """The verdict on calling ``x.name()`` where nothing is known of ``x``.

    Names that common objects have, too, say nothing.
    """
    for original, ours in _dynamic():
        if original == "transformers.PreTrainedModel":  # its names are of other objects as well
            continue
        lacks = name in ORIGINAL_NAMES[original] and not hasattr(ours, name)
        if lacks and not any(hasattr(cls, name) for cls in _common()):
            how = f"if this is a {original}: {name} is not in hfpaddle"
            return Finding(Verdict.MAY_FAIL, how, AttributeError)
    return None


@functools.cache
def _common() -> tuple[type, ...]:
    import argparse
    import logging
    import pathlib
    import queue
    import re

    import numpy as np
    from PIL import Image

    from hfpaddle.torch.optim import Optimizer

    plain = (str, bytes, int, float, complex, list, dict, set, tuple, re.Pattern, re.Match)
    others = (pathlib.Path, queue.Queue, argparse.ArgumentParser, logging.Logger, Optimizer)
    return (*plain, *others, np.ndarray, Image.Image)


# Verdicts


def describe(value: Any, home: ModuleType | None) -> Finding:
    """The verdict on a name that is there, before it is called."""
    if isinstance(value, StandIn) or _raising(value) is not None:
        return Finding(Verdict.EMULATED, "a stand-in: it imports, and raises when it is used")
    if not source.ours(value) and str(getattr(value, "__module__", "")).startswith("transformers"):
        return Finding(Verdict.WORKS, "transformers' own")
    if inspect.isroutine(value) or isinstance(value, type):
        home = sys.modules.get(str(getattr(value, "__module__", "")))
    if inspect.isroutine(value):
        warning = source.warns(value)
        if warning is not None:
            return Finding(Verdict.NO_EFFECT, warning)
        if source.does_nothing(value):
            return Finding(Verdict.NO_EFFECT, source.first_line(value))
    how = _module_how(home)
    if how:
        own = inspect.isroutine(value) and source.definition(value) is not None
        line = source.first_line(value).rstrip(".") if own else ""
        return Finding(Verdict.EMULATED, line if len(line.split()) > 3 else how)
    return WORKS


def _of_row(cls: type, name: str) -> Finding | None:
    """The verdict of the table of switched methods, or None if ``name`` is not in it by caller."""
    for base in cls.__mro__:
        note = _notes().get((base.__name__, name))
        if note:
            return Finding(Verdict.EMULATED, note)
    return None


@functools.cache
def _notes() -> dict[tuple[str, str], str]:
    """(class, method) -> how its meaning differs for scripts."""
    from hfpaddle.torch._switch import BY_CALLER, switched_methods

    rows = switched_methods()
    return {(row.owner, row.name): row.note for row in rows if row.kind == BY_CALLER}


def _raising(value: Any) -> str | None:
    """The message of a function that only raises, or None."""
    from hfpaddle.torch._missing import missing

    if getattr(value, "__code__", None) is missing("x", "").__code__:
        try:
            value()
        except MissingFeatureError as error:
            return _short(error)
    return source.raises(value) if inspect.isroutine(value) else None


def use(thing: Thing) -> Finding | None:
    """The verdict on calling ``thing``, or deriving from it; None if nothing is against it."""
    if isinstance(thing.value, StandIn):
        return Finding(Verdict.FAILS, thing.value.message.rstrip("."), MissingFeatureError)
    message = _raising(thing.value)
    if message is not None:
        return Finding(Verdict.FAILS, message.rstrip("."), MissingFeatureError)
    return None


def called_method(cls: type) -> Any:
    """What runs when an object of ``cls`` is called: ``forward`` of a module."""
    import paddle

    return getattr(cls, "forward" if issubclass(cls, paddle.nn.Layer) else "__call__", None)


def shown_name(cls: type) -> str:
    """The original's name of a class of ours."""
    for original, ours in _dynamic():
        if cls is ours:
            return original
    return f"{cls.__module__.removeprefix('hfpaddle.').partition('.')[0]}.{cls.__name__}"


def literal_of(value: Value) -> Any:
    """The constant behind ``value``; raises LookupError if it is not known."""
    if isinstance(value, Literal):
        return value.value
    if isinstance(value, Thing) and isinstance(value.value, (str, int, float, bool, type(None))):
        return value.value
    raise LookupError
