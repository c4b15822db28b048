"""What our own functions and classes say in their source: the table that cannot go stale.

A function that begins with ``raise`` is not implemented, one that warns whatever it is given says
what has no effect, and a keyword that is never read has none.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from hfpaddle.core import errors

_NEVER_READ = "accepted, and never read"


@functools.lru_cache(4096)
def _tree(code: Any) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    node = tree.body[0] if tree.body else None
    return node if isinstance(node, ast.FunctionDef) else None


def definition(function: Any) -> ast.FunctionDef | None:
    """Return the syntax tree of a function of ours, or None where there is none to read."""
    function = getattr(function, "__func__", function)
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None or not ours(inspect.unwrap(function)):
        return None
    return _tree(code)


def ours(value: Any) -> bool:
    """Whether ``value`` is defined by hfpaddle."""
    return str(getattr(value, "__module__", None) or "").partition(".")[0] == "hfpaddle"


def first_line(value: Any) -> str:
    """The first sentence of the docstring, without markup."""
    text = inspect.getdoc(value) or ""
    line = " ".join(text.split("\n\n")[0].split())
    return line.replace("``", "").replace("`", "")


def body(node: ast.FunctionDef) -> list[ast.stmt]:
    """The statements after the docstring."""
    first = node.body[0]
    has_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return node.body[1:] if has_text else node.body


def text_of(node: ast.AST | None) -> str:
    """The text of a string or f-string; a hole shows the expression in it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return ""


def _called(node: ast.AST, name: str) -> ast.Call | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        if getattr(node.value.func, "id", None) == name and node.value.args:
            return node.value
    return None


def raises(function: Any) -> str | None:
    """Return the message of a function that does nothing but raise an error of hfpaddle."""
    node = definition(function)
    statement = next(iter(body(node)), None) if node else None
    if not isinstance(statement, ast.Raise) or not isinstance(statement.exc, ast.Call):
        return None
    error = getattr(errors, ast.unparse(statement.exc.func), None)
    if isinstance(error, type) and issubclass(error, errors.HfpaddleError):
        return text_of(statement.exc.args[0]) if statement.exc.args else first_line(function)
    return None


def warns(function: Any) -> str | None:
    """Return the warning that every call of a function gives (once a process)."""
    node = definition(function)
    for statement in body(node) if node else ():
        call = _called(statement, "warn_once")
        if call is not None:
            return text_of(call.args[0])
    return None


def returns_itself(function: Any) -> bool:
    """Whether a method gives back the object that it is called on."""
    node = definition(function)
    if node is None or not node.args.args:
        return False
    returns = [n.value for n in ast.walk(node) if isinstance(n, ast.Return)]
    own = node.args.args[0].arg
    return bool(returns) and all(isinstance(v, ast.Name) and v.id == own for v in returns)


def does_nothing(function: Any) -> bool:
    """Whether the function, no method, has no statement."""
    node = definition(function)
    own = node is not None and "." not in getattr(function, "__qualname__", ".")
    return own and all(isinstance(s, ast.Pass) for s in body(node))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Keywords:
    """What a function says of its own keywords: unread ones, and warnings that depend on one."""

    unread: frozenset[str]
    swallows: bool
    warnings: dict[str, str]


@functools.lru_cache(1024)
def keywords(code_owner: Any) -> Keywords:
    """Read what becomes of a function's keywords."""
    node = definition(code_owner)
    if node is None:
        return Keywords(frozenset(), False, {})
    arguments = node.args
    names = {a.arg for a in (*arguments.args, *arguments.kwonlyargs)} - {"self", "cls"}
    read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    # A body that only raises, or is empty in a base class, says nothing of its keywords.
    meant = [s for s in body(node) if not isinstance(s, (ast.Raise, ast.Pass, ast.Expr))]
    unread = names - read if meant and not read & {"locals", "vars"} else set()
    rest = arguments.kwarg
    swallows = rest is not None and rest.arg.startswith("_") and rest.arg not in read
    return Keywords(frozenset(unread), swallows, dict(_warnings(node, names)))


def _warnings(node: ast.FunctionDef, names: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (keyword, message) of each ``if keyword is given: warn_once(message)``."""
    for statement in body(node):
        if not isinstance(statement, ast.If):
            continue
        tested = [n.id for n in ast.walk(statement.test) if isinstance(n, ast.Name)]
        asked = [name for name in tested if name in names]
        for inner in statement.body:
            call = _called(inner, "warn_once")
            if call is not None and len(asked) == 1:
                yield asked[0], text_of(call.args[0])


def unread_how() -> str:
    return _NEVER_READ


@functools.lru_cache(512)
def attributes(cls: type) -> frozenset[str]:
    """Names that objects of ``cls`` have: of the class, its fields, and what methods assign."""
    names = set(dir(cls))
    if dataclasses.is_dataclass(cls):
        names |= {field.name for field in dataclasses.fields(cls)}
    for base in cls.__mro__:
        names |= set(getattr(base, "__annotations__", {}))
        if ours(base):
            names |= _assigned(base)
    return frozenset(names)


def _assigned(cls: type) -> set[str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return set()
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def is_closed(cls: type) -> bool:
    """Whether objects have no attributes but those of `attributes`: all of it is our code."""
    for base in cls.__mro__:
        if base is object or (base.__module__ == "builtins" and base.__dictoffset__ == 0):
            continue
        standard = base.__module__ in ("abc", "enum", "typing", "collections.abc", "contextlib")
        if not (ours(base) or standard):
            return False
        if "__getattr__" in vars(base) or "__getattribute__" in vars(base):
            return False
    return True


def returned_class(function: Any) -> type | None:
    """Return the class that a function's annotation says it returns, or None."""
    inner = inspect.unwrap(getattr(function, "__func__", function))
    annotation = getattr(inner, "__annotations__", {}).get("return")
    if isinstance(annotation, str):
        space = vars(sys.modules.get(getattr(inner, "__module__", ""), builtins))
        if annotation == "Tensor" and "Tensor" not in space:
            import paddle

            return paddle.Tensor
        try:
            annotation = eval(annotation, dict(space))  # of our own source
        except Exception:
            return None
    return annotation if isinstance(annotation, type) else None
