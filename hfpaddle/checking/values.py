"""What an expression of a script stands for, as far as it is known without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any


class Value:
    """Base; a plain Value is unknown."""


UNKNOWN = Value()


@dataclass(frozen=True)
class Module(Value):
    """A module of a mirrored package under the original's name."""

    name: str


@dataclass(frozen=True)
class Thing(Value):
    """A function, class or constant of ours under the original's name.

    Attributes:
        owner: the Instance or class-like value that it was taken from, for methods.
    """

    value: Any
    name: str
    owner: Value | None = None


@dataclass(eq=False)
class Instance(Value):
    """An object of one of our classes.

    Attributes:
        exact: whether it is of ``cls`` itself; an auto class gives objects of subclasses.
        given: attributes that the script sets.
        parts: what the object was made from, where later calls return that.
    """

    cls: type
    name: str
    exact: bool = True
    given: dict[str, Value] = field(default_factory=dict)
    parts: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Literal(Value):
    """A constant of the script."""

    value: Any


@dataclass(frozen=True, eq=False)
class Items(Value):
    """A tuple or list of known length."""

    values: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Fields(Value):
    """A dict display whose keys are strings."""

    values: dict[str, Value]


@dataclass(eq=False)
class Function(Value):
    """A function of the script.

    Attributes:
        reader: of the file that defines it.
        conditions: those around the definition.
        cls: the class that it is a method of.
        plain: whether a caller's arguments reach it as they are; decorators may change them.
        read: None until its body was read; then whether that was under conditions.
        result: what it returns, once it was read.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef
    scope: Any
    reader: Any
    conditions: list[Any]
    cls: Class | None = None
    plain: bool = True
    read: bool | None = None
    result: Value = UNKNOWN


@dataclass(frozen=True, eq=False)
class Bound(Value):
    """A method of the script and its object."""

    function: Function
    owner: Value


@dataclass(eq=False)
class Class(Value):
    """A class of the script.

    Attributes:
        names: what its body binds.
        assigned: attributes of ``self`` that its methods assign, ``given`` their values.
    """

    name: str
    bases: tuple[Value, ...]
    names: dict[str, Value]
    assigned: frozenset[str] = frozenset()
    given: dict[str, Value] = field(default_factory=dict)


@dataclass(eq=False)
class Object(Value):
    """An object of a class of the script."""

    cls: Class


@dataclass(frozen=True, eq=False)
class Super(Value):
    """``super()`` in a method of a class of the script."""

    cls: Class


@dataclass(frozen=True, eq=False)
class File(Value):
    """A module beside the script."""

    names: dict[str, Value]


@dataclass(frozen=True, eq=False)
class Several(Value):
    """One of these."""

    values: tuple[Value, ...]


class Scope:
    """Names of a module, function or class, and the scope around it."""

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.names: dict[str, Value] = {}
        self.stars: list[Module] = []  # modules whose every name is imported

    def get(self, name: str) -> Value | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def all_stars(self) -> list[Module]:
        return self.stars + (self.parent.all_stars() if self.parent else [])


def merge_names(first: dict[str, Value], second: dict[str, Value]) -> dict[str, Value]:
    """Return the names after either of two branches."""
    return {
        name: merge(first[name], second[name]) if name in first and name in second else value
        for name, value in {**second, **first}.items()
    }


def merge(first: Value, second: Value) -> Value:
    """Return what is either of two values."""
    if first is second or first == second:
        return first
    parts: list[Value] = []
    for value in (first, second):
        for part in value.values if isinstance(value, Several) else (value,):
            if not any(part is p or part == p or _alike(part, p) for p in parts):
                parts.append(part)
    return parts[0] if len(parts) == 1 else Several(tuple(parts))


def _alike(first: Value, second: Value) -> bool:
    both = isinstance(first, Instance) and isinstance(second, Instance)
    return both and (first.cls, first.name, first.exact) == (
        second.cls,  # type: ignore[union-attr]
        second.name,  # type: ignore[union-attr]
        second.exact,  # type: ignore[union-attr]
    )
