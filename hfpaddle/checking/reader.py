"""Reads a script, and the files beside it that it imports, statement by statement."""

from __future__ import annotations

import ast
import builtins
import os
from pathlib import Path
from typing import Any

from hfpaddle.checking import rules, surface
from hfpaddle.checking.calls import Call
from hfpaddle.checking.expressions import Expressions
from hfpaddle.checking.report import Condition, Finding, Report, Verdict
from hfpaddle.checking.values import (
    UNKNOWN,
    Bound,
    Class,
    Fields,
    File,
    Function,
    Instance,
    Items,
    Literal,
    Module,
    Object,
    Scope,
    Several,
    Thing,
    Value,
    merge,
    merge_names,
)
from hfpaddle.core.errors import HfpaddleError

_DEPTH = 40  # calls of the script's functions inside one another
_IN_ANNOTATION = Condition("caught", "an annotation, not evaluated", (BaseException,))


class ScriptError(HfpaddleError, ValueError):
    """A script that cannot be read: absent, or no Python."""


def check_script(path: str | os.PathLike) -> Report:
    """Read the script at ``path`` and say of each name that it takes from us what becomes of it.

    Nothing of the script runs.

    Raises: ScriptError if there is no such file, or it is no Python.
    """
    script = os.fspath(path)
    if not os.path.isfile(script):
        kind = "is a folder; give a script" if os.path.isdir(script) else "does not exist"
        raise ScriptError(f"{script} {kind}.")
    project = Project(script)
    with surface.under_the_hook():
        try:
            project.read(script, is_main=True)
            project.read_the_rest()
        except RecursionError as error:
            raise ScriptError(f"{script}: an expression is nested too deeply.") from error
    return project.report


def parse(path: str) -> ast.Module:
    """Return the syntax tree of a file.

    Raises: ScriptError with file, line and cause.
    """
    try:
        return ast.parse(Path(path).read_bytes(), path)
    except SyntaxError as error:
        raise ScriptError(f"{path}:{error.lineno}: syntax error: {error.msg}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ScriptError(f"{path}: cannot be read: {error}.") from error


class Project:
    """The script and the files beside it that it imports."""

    def __init__(self, script: str) -> None:
        self.report = Report(script)
        self.folder = os.path.dirname(script)
        self.files: dict[str, File] = {}
        self.functions: list[Function] = []
        self.mentioned: set[str] = set()
        self.adds_folders = False  # to sys.path
        self.depth = 0

    def read(self, path: str, is_main: bool = False, package: str = "") -> File:
        """Read a file once; return its names."""
        if path not in self.files:
            tree = parse(path)
            for node in ast.walk(tree):
                if isinstance(node, (ast.Name, ast.Attribute)):
                    self.mentioned.add(node.id if isinstance(node, ast.Name) else node.attr)
                    self.adds_folders = self.adds_folders or ast.unparse(node) == "sys.path"
            reader = Reader(self, path, is_main, package)
            self.files[path] = File(reader.scope.names)
            reader.run(tree.body)
        return self.files[path]

    def find(self, name: str) -> str | None:
        """Return the path of the module ``name`` beside the script, or None."""
        base = os.path.join(self.folder, *name.split("."))
        for path in (f"{base}.py", os.path.join(base, "__init__.py")):
            if os.path.isfile(path):
                return path
        return None

    def read_the_rest(self) -> None:
        """Read the functions that no call led to: others call them, or nobody does."""
        done = 0
        while done < len(self.functions):
            function, done = self.functions[done], done + 1
            if function.read is not None:
                continue
            name = function.node.name
            called = name in self.mentioned or function.node.decorator_list or _asked(function)
            alone = Condition("branch", f"if {name}() is called, which no line here does")
            function.reader.conditions = [*function.conditions, *([] if called else [alone])]
            function.reader.read_function(function, Call([], {}, True, True), None)


def _asked(function: Function) -> bool:
    """Whether the method is one that Python or a base class of ours calls."""
    name, todo = function.node.name, [function.cls]
    if name.startswith("__"):
        return True
    while todo:
        cls = todo.pop()
        for base in cls.bases if cls is not None else ():
            if not isinstance(base, (Class, Thing)) or hasattr(getattr(base, "value", 0), name):
                return True
            todo.append(base if isinstance(base, Class) else None)
    return False


class Reader(Expressions):
    """Reads one file."""

    def __init__(self, project: Project, path: str, is_main: bool, package: str) -> None:
        super().__init__()
        self.project, self.report, self.file = project, project.report, path
        self.is_main, self.package = is_main, package
        self.scope = Scope()
        self.lazy = False
        self.returned: list[list[Value]] = []

    def run(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            method = getattr(self, f"_run_{type(statement).__name__}", None)
            if method is not None:
                method(statement)
            else:
                self.eval(statement)

    # Imports

    def _run_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            value = self.import_name(node, alias.name)
            top = alias.name.partition(".")[0]
            if top == "hfpaddle" and alias.asname is None:
                self._bind_module(top, UNKNOWN)
            elif alias.asname is not None:
                self._bind_module(alias.asname, value)
            elif surface.covers(top) and value is not UNKNOWN:
                self._bind_module(top, Module(top))
            else:
                self._bind_module(top, value if top == alias.name else UNKNOWN)

    def _bind_module(self, name: str, value: Value) -> None:
        self.scope.names[name] = value
        if value is UNKNOWN:
            self.modules.add(name)

    def import_name(self, node: ast.AST, name: str) -> Value:
        """Return what ``import name`` gives; note it if it is of ours, or is not there."""
        name = _original(name)
        if surface.covers(name):
            value, finding = surface.import_module(name)
            self.note(node, name, finding)
            return value
        path = self.project.find(name)
        if path is not None:
            return self._read_beside(node, path, name)
        missing = rules.not_installed(name)
        if missing is not None and self.project.adds_folders:
            how = f"{missing.how}, unless a folder that the script adds to sys.path has it"
            self.note(node, name, Finding(Verdict.MAY_FAIL, how, ImportError))
        elif missing is not None:
            self.note(node, name, missing)
        return UNKNOWN

    def _read_beside(self, node: ast.AST, path: str, name: str) -> Value:
        inside = path.endswith("__init__.py")
        try:
            return self.project.read(path, package=name if inside else name.rpartition(".")[0])
        except ScriptError as error:
            self.note(node, name, Finding(Verdict.FAILS, str(error).rstrip("."), SyntaxError))
            return UNKNOWN

    def _run_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module == "__future__":
            self.lazy = self.lazy or any(alias.name == "annotations" for alias in node.names)
            return
        name = node.module or ""
        if node.level and self.is_main and not self.package:
            how = "a script is in no package, so it cannot import relatively"
            shown = f"{'.' * node.level}{name}"
            self.note(node, shown, Finding(Verdict.FAILS, how, ImportError))
            for alias in node.names:
                self._bind_module(alias.asname or alias.name, UNKNOWN)
            return
        if node.level:
            parts = self.package.split(".") if self.package else []
            kept = parts[: len(parts) - node.level + 1]
            name = ".".join([*kept, *([name] if name else [])])
        name = _original(name)
        if surface.covers(name):
            self._import_from_ours(node, name)
            return
        for alias in node.names:
            full = f"{name}.{alias.name}" if name else alias.name
            ours = surface.covers(full) or (alias.name != "*" and self.project.find(full))
            value = self.import_name(node, full) if ours else UNKNOWN
            if not ours:
                module = self.import_name(node, name) if name else UNKNOWN
                if isinstance(module, File) and alias.name == "*":
                    self.scope.names.update(module.names)
                elif isinstance(module, File):
                    value = module.names.get(alias.name, UNKNOWN)
            self._bind_module(alias.asname or alias.name, value)

    def _import_from_ours(self, node: ast.ImportFrom, name: str) -> None:
        module, finding = surface.import_module(name)
        for alias in node.names:
            bound = alias.asname or alias.name
            if not isinstance(module, Module):
                self.note(alias, f"{name}.{alias.name}", finding)
                self.scope.names[bound] = UNKNOWN
                self.modules.add(bound)
            elif alias.name == "*":
                self.note(alias, name, finding)
                self.scope.stars.append(module)
            else:
                value, verdict, full = surface.attribute(module, alias.name)
                if verdict is None:  # a module
                    verdict = surface.import_module(full)[1]
                if verdict.verdict is Verdict.FAILS:
                    verdict = Finding(Verdict.FAILS, verdict.how, ImportError)
                self.scope.names[bound] = self._seen(alias, value, verdict, full)
                if value is UNKNOWN:
                    self.modules.add(bound)

    # Assignments

    def _run_Assign(self, node: ast.Assign) -> None:
        value = self.eval(node.value)
        for target in node.targets:
            self.bind(target, value)

    def _run_AnnAssign(self, node: ast.AnnAssign) -> None:
        local = bool(self.returned)  # annotations in a function are never evaluated
        self.annotation(node.annotation, lazy=local)
        if node.value is not None:
            self.bind(node.target, self.eval(node.value))
        elif isinstance(node.target, ast.Name):
            self.scope.names[node.target.id] = UNKNOWN

    def _run_AugAssign(self, node: ast.AugAssign) -> None:
        old = self.eval(_as_load(node.target))
        self.eval(node.value)
        self.bind(node.target, old if isinstance(old, Instance) else UNKNOWN)

    def bind(self, target: ast.AST, value: Value) -> None:
        """Let ``target`` stand for ``value`` from here on."""
        if isinstance(target, ast.Name):
            self.scope.names[target.id] = value
        elif isinstance(target, ast.Starred):
            self.bind(target.value, UNKNOWN)
        elif isinstance(target, (ast.Tuple, ast.List)):
            same = isinstance(value, Items) and len(value.values) == len(target.elts)
            for index, item in enumerate(target.elts):
                self.bind(item, value.values[index] if same else UNKNOWN)  # type: ignore[union-attr]
        elif isinstance(target, ast.Attribute):
            self._bind_attribute(target, self.eval(target.value), value)
        elif isinstance(target, ast.Subscript):
            base, key = self.eval(target.value), self.eval(target.slice)
            if isinstance(base, Fields) and isinstance(key, Literal) and isinstance(key.value, str):
                base.values[key.value] = value

    def _bind_attribute(self, target: ast.Attribute, base: Value, value: Value) -> None:
        if isinstance(base, Instance):
            base.given[target.attr] = value
        elif isinstance(base, Object):
            given = base.cls.given
            old = given.get(target.attr)
            given[target.attr] = value if old is None else merge(old, value)
        elif isinstance(base, Module):
            finding = surface.attribute(base, target.attr)[1]
            known = finding is None or finding.verdict is not Verdict.FAILS
            verdict = rules.setting(base, target.attr, known) or finding
            if verdict is not None:
                self.note(target, f"{base.name}.{target.attr}", verdict)

    # Definitions

    def annotation(self, node: ast.expr | None, lazy: bool = False) -> Value:
        """Return what an annotation names; where it is not evaluated, errors do not count."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            lazy = True
            try:
                node = ast.copy_location(ast.parse(node.value, mode="eval").body, node)
                ast.fix_missing_locations(node)
            except SyntaxError:
                return UNKNOWN
        with self.when(_IN_ANNOTATION if lazy or self.lazy else None):
            return self.named(node)

    def _run_FunctionDef(self, node: ast.FunctionDef) -> None:
        plain = True
        for decorator in node.decorator_list:
            value = self.named(decorator)
            if isinstance(value, Thing) and not isinstance(decorator, ast.Call):
                self.call_thing(decorator, value, Call([UNKNOWN], {}))
            plain = plain and ast.unparse(decorator) == "staticmethod"
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self.annotation(argument.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            self.eval(default)
        self.annotation(node.returns)
        function = Function(node, self.scope, self, list(self.conditions), plain=plain)
        self.scope.names[node.name] = function
        self.project.functions.append(function)

    _run_AsyncFunctionDef = _run_FunctionDef

    def _run_ClassDef(self, node: ast.ClassDef) -> None:
        bases = tuple(self.named(base) for base in node.bases)
        for base, value in zip(node.bases, bases, strict=True):
            against = surface.use(value) if isinstance(value, Thing) else None
            if against is not None:
                self.note(base, value.name, against)  # type: ignore[union-attr]
                bases = tuple(UNKNOWN if b is value else b for b in bases)
        for other in (*node.decorator_list, *(word.value for word in node.keywords)):
            self.eval(other)
        outer = self.scope
        self.scope = Scope(outer)
        first = len(self.project.functions)
        self.run(node.body)
        names, self.scope = self.scope.names, outer
        cls = Class(node.name, bases, names, _assigned(node))
        outer.names[node.name] = cls
        ours = [base.value for base in bases if isinstance(base, Thing)]
        for function in self.project.functions[first:]:
            if function.cls is None and names.get(function.node.name) is function:
                function.cls = cls
                function.scope = outer  # names of a class are not in its methods' scope
                finding = rules.overridden(ours, function.node.name)
                if finding is not None:
                    self.note(function.node, f"{node.name}.{function.node.name}", finding)

    # Calls of the script's own functions

    def call_function(self, function: Function, call: Call, owner: Value | None) -> Value:
        """Read ``function`` as called here, unless it was; return what it gives."""
        conditional = bool(self.conditions)
        again = function.read is None or (function.read and not conditional)
        reader = function.reader
        if again and self.project.depth < _DEPTH:
            kept, self.project.depth = reader.conditions, self.project.depth + 1
            reader.conditions = [*self.conditions, *function.conditions]
            try:
                reader.read_function(function, call, owner)
            finally:
                reader.conditions, self.project.depth = kept, self.project.depth - 1
        return function.result

    def read_function(self, function: Function, call: Call, owner: Value | None) -> None:
        """Read the body of a function of this file, with what is known of its arguments."""
        function.read = bool(self.conditions)
        outer, modules = self.scope, self.modules
        self.scope = Scope(function.scope)
        self.modules = set(modules)
        self.returned.append([])
        if function.cls is not None:
            self.classes.append(function.cls)
        try:
            self._bind_arguments(function, call, owner)
            self.run(function.node.body)
        finally:
            self.scope, self.modules = outer, modules
            results = self.returned.pop()
            if function.cls is not None:
                self.classes.pop()
        lazy = isinstance(function.node, ast.AsyncFunctionDef) or any(
            isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(function.node)
        )
        if function.plain and results and not lazy:
            function.result = results[0]
            for value in results[1:]:
                function.result = merge(function.result, value)

    def _bind_arguments(self, function: Function, call: Call, owner: Value | None) -> None:
        arguments, names = function.node.args, self.scope.names
        places = [*arguments.posonlyargs, *arguments.args]
        for argument in (*places, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if argument is not None:
                names[argument.arg] = self._of_annotation(argument.annotation)
        marks = {ast.unparse(d) for d in function.node.decorator_list}
        if function.cls is not None and places and "staticmethod" not in marks:
            first = places.pop(0)
            own = Class if "classmethod" in marks else Object
            made = function.cls if own is Class else Object(function.cls)
            names[first.arg] = owner if isinstance(owner, own) else made
        if not function.plain:
            return
        if not call.starred:
            for argument, value in zip(places, call.values, strict=False):
                names[argument.arg] = value
        for name, value in call.keywords.items():
            if name in {a.arg for a in (*places, *arguments.kwonlyargs)}:
                names[name] = value

    def _of_annotation(self, node: ast.expr | None) -> Value:
        value = self._quietly(node) if node is not None else UNKNOWN
        if isinstance(value, Thing) and isinstance(value.value, type):
            return Instance(value.value, value.name, exact=False)
        return Object(value) if isinstance(value, Class) else UNKNOWN

    def _run_Return(self, node: ast.Return) -> None:
        value = self.eval(node.value)
        if self.returned:
            self.returned[-1].append(value)

    # Branches

    def _run_If(self, node: ast.If) -> None:
        self.eval(node.test)
        yes, no = self.branches(node.test)
        before = dict(self.scope.names)
        with self.when(yes):
            self.run(node.body)
        first = dict(self.scope.names)
        self._restore(before)
        with self.when(no):
            self.run(node.orelse)
        second = dict(self.scope.names)
        self.both_fail(yes, no)
        skipped = [c is not None and c.kind == "never" for c in (yes, no)]
        if skipped[0] or _leaves(node.body):
            self._restore(second)
        elif skipped[1] or _leaves(node.orelse):
            self._restore(first)
        else:
            self._restore(merge_names(first, second))

    def _restore(self, names: dict[str, Value]) -> None:
        self.scope.names.clear()
        self.scope.names.update(names)

    def _run_While(self, node: ast.While) -> None:
        self.eval(node.test)
        self.run(node.body)
        self.run(node.orelse)

    def _run_For(self, node: ast.For | ast.AsyncFor) -> None:
        values = self.eval(node.iter)
        item = UNKNOWN
        if isinstance(values, Items) and values.values:
            item = values.values[0]
            for value in values.values[1:]:
                item = merge(item, value)
        self.bind(node.target, item)
        self.run(node.body)
        self.run(node.orelse)

    _run_AsyncFor = _run_For

    def _run_With(self, node: ast.With | ast.AsyncWith) -> None:
        pushed = 0
        for item in node.items:
            value = self.eval(item.context_expr)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value if isinstance(value, Instance) else UNKNOWN)
            call = item.context_expr
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("suppress"):
                self.conditions.append(
                    Condition("caught", "suppressed", _classes(ast.Tuple(call.args)))
                )
                pushed += 1
        self.run(node.body)
        del self.conditions[len(self.conditions) - pushed :]

    _run_AsyncWith = _run_With

    def _run_Match(self, node: Any) -> None:
        self.eval(node.subject)
        for case in node.cases:
            for name in ast.walk(case.pattern):
                bound = getattr(name, "name", None)
                if isinstance(bound, str):
                    self.scope.names[bound] = UNKNOWN
            with self.when(Condition("branch", f"if the case of line {case.pattern.lineno} holds")):
                self.eval(case.guard)
                self.run(case.body)

    def _run_Try(self, node: Any) -> None:
        caught: tuple[type[BaseException], ...] = ()
        for handler in node.handlers:
            if not _leaves(handler.body, (ast.Raise,)):
                caught += _classes(handler.type)
        line = node.handlers[0].lineno if node.handlers else 0
        inside = Condition("caught", f"caught in line {line}", caught)
        with self.when(inside if caught else None):
            self.run(node.body)
        hit = id(inside) in self.hits
        if not hit:
            self.run(node.orelse)
        for handler in node.handlers:
            self._handle(handler, hit, _imports_only(node.body))
        self.run(node.finalbody)

    _run_TryStar = _run_Try

    def _handle(self, handler: ast.ExceptHandler, hit: bool, imports: bool) -> None:
        """Read a handler: it runs if the try failed, and never if imports that it is for work."""
        self.eval(handler.type)
        if handler.name:
            self.scope.names[handler.name] = UNKNOWN
        classes = _classes(handler.type)
        for_imports = all(issubclass(c, (ImportError, AttributeError)) for c in classes)
        before = dict(self.scope.names)
        if hit and not _leaves(handler.body, (ast.Raise,)):
            self.run(handler.body)
            return
        never = imports and for_imports and classes
        kind = "never" if never else "branch"
        text = "never runs: what it catches does not happen" if never else "in an except"
        with self.when(Condition(kind, f"{text} (line {handler.lineno})")):
            self.run(handler.body)
        after = dict(self.scope.names)
        gone = never or _leaves(handler.body)
        self._restore(before if gone else merge_names(before, after))


def _original(name: str) -> str:
    """The original's name of a mirror that a script imports by ours: hfpaddle.transformers."""
    plain = name.removeprefix("hfpaddle.")
    return plain if surface.covers(plain) else name


def _as_load(target: ast.AST) -> ast.AST:
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(target.id, ast.Load()), target)
    return target


def _assigned(node: ast.ClassDef) -> frozenset[str]:
    """Attributes that the methods of a class assign to their object."""
    return frozenset(
        item.attr
        for item in ast.walk(node)
        if isinstance(item, ast.Attribute)
        and isinstance(item.ctx, ast.Store)
        and isinstance(item.value, ast.Name)
        and item.value.id == "self"
    )


def _leaves(body: list[ast.stmt], kinds: tuple = ()) -> bool:
    """Whether a block ends by leaving: raise, return, exit."""
    kinds = kinds or (ast.Raise, ast.Return, ast.Continue, ast.Break)
    for statement in body:
        if isinstance(statement, kinds):
            return True
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("sys.exit", "exit", "quit"):
            return True
    return False


def _imports_only(body: list[ast.stmt]) -> bool:
    return all(isinstance(s, (ast.Import, ast.ImportFrom, ast.Assign, ast.Pass)) for s in body)


def _classes(node: ast.expr | None) -> tuple[type[BaseException], ...]:
    """The built-in exception classes that an ``except`` names; everything for a bare one."""
    if node is None:
        return (BaseException,)
    found = []
    for item in node.elts if isinstance(node, ast.Tuple) else [node]:
        cls = getattr(builtins, ast.unparse(item).rpartition(".")[2], None)
        if isinstance(cls, type) and issubclass(cls, BaseException):
            found.append(cls)
    return tuple(found)


__all__ = ["Bound", "Project", "Reader", "ScriptError", "Several", "check_script"]
