"""Names in modules of transformers that do not import without torch, read from their source.

Scripts and tests import helpers and constants from everywhere. Constants keep their values; what
needs code becomes a stand-in, so that a script which never uses it starts.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

_CODE = object()
_LAZY = "_import_structure"  # submodule -> its names, in packages that load when asked


@dataclass(frozen=True)
class _From:
    """A name that a module takes from another: ``level`` dots and ``module``, as in an import."""

    level: int
    module: str

    def path(self, importer: str) -> str:
        """Return the other module's path below transformers."""
        parts = importer.split(".")
        above = parts[: len(parts) - self.level + _is_package(importer)]
        return ".".join([*above, self.module])


def _is_package(path: str) -> bool:
    return Path(transformers.__path__[0]).joinpath(*path.split(".")).is_dir()


@functools.cache
def names_in(path: str) -> dict[str, Any]:
    """Map each name that ``transformers.<path>`` defines to its value if that is a literal.

    A name defined by code is mapped to `_CODE`, one of another module to a `_From`. Empty where
    there is no such source file.
    """
    place = Path(transformers.__path__[0]).joinpath(*path.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    found: dict[str, Any] = {}
    if file.is_file():
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            found |= _defined(statement)
    return found


def _defined(statement: ast.stmt) -> dict[str, Any]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name: _CODE}
    if isinstance(statement, ast.Assign):
        return {n: v for target in statement.targets for n, v in _assigned(target, statement.value)}
    if isinstance(statement, ast.AnnAssign):
        return dict(_assigned(statement.target, statement.value))
    if isinstance(statement, ast.ImportFrom) and statement.level and statement.module:
        source = _From(statement.level, statement.module)
        return {alias.name: source for alias in statement.names if not alias.asname}
    if isinstance(statement, (ast.If, ast.Try)):  # what is there with a certain package
        parts = [*statement.body, *statement.orelse]
        return {n: v for part in parts for n, v in _defined(part).items()}
    return {}


def _assigned(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, Any]]:
    literal = _literal(value)
    if isinstance(target, ast.Name) and target.id == _LAZY and isinstance(literal, dict):
        for submodule, names in literal.items():
            yield from ((name, _From(1, submodule)) for name in names)
    elif isinstance(target, ast.Name):
        yield target.id, literal
    elif isinstance(target, ast.Subscript) and isinstance(literal, list):
        submodule = _literal(target.slice)
        if isinstance(target.value, ast.Name) and target.value.id == _LAZY:
            yield from ((name, _From(1, str(submodule))) for name in literal)


def _literal(value: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(value) if value is not None else _CODE
    except ValueError:
        return _CODE


def value_of(path: str, name: str) -> Any:
    """Return the constant or a stand-in for ``transformers.<path>.<name>``.

    Raises: AttributeError if transformers has no such name either.
    """
    value = names_in(path).get(name)
    if name not in names_in(path) or name.startswith("__"):
        raise AttributeError(f"module 'transformers.{path}' has no attribute {name!r}")
    from hfpaddle.transformers.mirror import resolve_in, stand_in

    if isinstance(value, _From):
        return resolve_in(value.path(path), name)
    if value is not _CODE:
        return value
    return stand_in(name, f"hfpaddle.transformers.{path}")
