"""Names in modules of transformers that do not import without torch, read from their source.

Scripts and tests import helpers and constants from everywhere. Constants keep their values; what
needs code becomes a stand-in, so that a script which never uses it starts.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

import transformers

_CODE = object()


@functools.cache
def names_in(path: str) -> dict[str, Any]:
    """Map each name that ``transformers.<path>`` defines to its value if that is a literal.

    A name defined by code is mapped to `_CODE`. {} where there is no such source file.
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
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        return dict.fromkeys(names, _literal(statement.value))
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id: _literal(statement.value)}
    if isinstance(statement, (ast.If, ast.Try)):  # what is there with a certain package
        parts = [*statement.body, *statement.orelse]
        return {name: _CODE for part in parts for name in _defined(part)}
    return {}


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
    if value is not _CODE:
        return value
    from hfpaddle.transformers.mirror import stand_in

    return stand_in(name, f"hfpaddle.transformers.{path}")
