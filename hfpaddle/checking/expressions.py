"""What the expressions of a script stand for, and the names of ours that they use."""

from __future__ import annotations

import ast
import builtins
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from hfpaddle.checking import calls, surface
from hfpaddle.checking.calls import Call
from hfpaddle.checking.report import (
    TYPE_CHECKING,
    Condition,
    Finding,
    Report,
    Verdict,
    under,
)
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
    Super,
    Thing,
    Value,
    merge,
)

_AVAILABLE = re.compile(r"(^|\.)is_(\w+_)?available$")
_LITERAL_KEYS = (str, int, float, bool, type(None))


class Expressions:
    """Evaluates expressions to values; what it meets of ours goes to the report."""

    report: Report
    file: str
    scope: Scope
    is_main: bool

    def __init__(self) -> None:
        self.conditions: list[Condition] = []
        self.hits: set[int] = set()
        self.failures: dict[int, list[tuple[ast.AST, str, Finding]]] = {}
        self.findings: dict[str, Finding] = {}
        self.modules: set[str] = set()  # names of modules that are not of ours
        self.classes: list[Class] = []  # whose methods are being read
        self.naming = False  # whether a name is read for itself, or for a use that is judged apart

    # Filled in by the reader

    def import_name(self, node: ast.AST, name: str) -> Value:
        raise NotImplementedError

    def call_function(self, function: Function, call: Call, owner: Value | None) -> Value:
        raise NotImplementedError

    # Rows

    def note(self, node: ast.AST, name: str, finding: Finding, words: list[str] | None = None):
        """Add a row for ``name`` where ``node`` stands; ``words`` are keywords that work."""
        if finding.fails:
            self._fall(node, name, finding)
        line = getattr(node, "end_lineno", None) if isinstance(node, ast.Attribute) else None
        row = self.report.add(
            self.file, line or getattr(node, "lineno", 0), name, under(finding, self.conditions)
        )
        row.keywords += [word for word in words or () if word not in row.keywords]

    def _fall(self, node: ast.AST, name: str, finding: Finding) -> None:
        """Note what an error meets on its way out: those that catch it, or the nearest branch."""
        caught = False
        for condition in self.conditions:
            if condition.kind == "caught" and issubclass(finding.error, condition.caught):
                self.hits.add(id(condition))
                caught = True
        branches = [c for c in self.conditions if c.kind in ("branch", "never")]
        if not caught and finding.verdict is Verdict.FAILS and branches:
            self.failures.setdefault(id(branches[-1]), []).append((node, name, finding))

    def both_fail(self, yes: Condition | None, no: Condition | None) -> None:
        """Where both branches of an ``if`` fail, the condition decides nothing."""
        first = self.failures.pop(id(yes), []) if yes is not None else []
        second = self.failures.pop(id(no), []) if no is not None else []
        for node, name, finding in (*first, *second) if first and second else ():
            self.note(node, name, finding)

    @contextlib.contextmanager
    def when(self, condition: Condition | None) -> Iterator[None]:
        """Read what follows as under ``condition``."""
        if condition is None:
            yield
            return
        self.conditions.append(condition)
        try:
            yield
        finally:
            self.conditions.pop()

    # Expressions

    def eval(self, node: ast.AST | None) -> Value:
        """Return what ``node`` stands for."""
        if node is None:
            return UNKNOWN
        method = getattr(self, f"_eval_{type(node).__name__}", None)
        if method is not None:
            return method(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.expr, ast.keyword, ast.FormattedValue)):
                self.eval(child)
        return UNKNOWN

    def _eval_Constant(self, node: ast.Constant) -> Value:
        return Literal(node.value)

    def _eval_Name(self, node: ast.Name) -> Value:
        value = self.scope.get(node.id)
        if value is None:
            for module in self.scope.all_stars() if not hasattr(builtins, node.id) else ():
                found, finding, name = surface.attribute(module, node.id)
                if finding is None or finding.verdict is not Verdict.FAILS:
                    return self._seen(node, found, finding, name)
            return UNKNOWN
        if isinstance(value, Thing) and value.name in self.findings:
            self.note(node, value.name, self.findings[value.name])
            against = surface.use(value) if isinstance(node.ctx, ast.Load) else None
            if against is not None and not self.naming:
                how = f"if it is used: {against.how}"
                self.note(node, value.name, Finding(Verdict.MAY_FAIL, how, against.error))
        return value

    def _seen(self, node: ast.AST, value: Value, finding: Finding | None, name: str) -> Value:
        """Note a name of ours that was looked up, and return what it stands for."""
        if finding is not None:
            self.note(node, name, finding)
            if isinstance(value, Thing):
                self.findings[value.name] = finding
        return value

    def named(self, node: ast.AST | None) -> Value:
        """Evaluate a name whose use is judged by the caller, or that is not used."""
        kept, self.naming = self.naming, True
        try:
            return self.eval(node)
        finally:
            self.naming = kept

    def _eval_Attribute(self, node: ast.Attribute) -> Value:
        return self.attribute(node, self.named(node.value), node.attr)

    def attribute(self, node: ast.AST, value: Value, name: str) -> Value:
        """Return ``value.name`` and note what it is of ours."""
        if isinstance(value, Several):
            branch = Condition("branch", "for one of the values that it may have")
            parts = [p for p in value.values if not isinstance(p, Literal)]
            with self.when(branch if len(parts) > 1 else None):
                found = [self.attribute(node, part, name) for part in parts]
            return _joined(found)
        if isinstance(value, File):
            return value.names.get(name, UNKNOWN)
        if isinstance(value, Object):
            return self._of_object(node, value, name)
        if isinstance(value, Super):
            return self.of_bases(node, value.cls, name)
        if isinstance(value, Class):
            return self._of_class(node, value, name)
        return self._seen(node, *surface.attribute(value, name))

    def _of_class(self, node: ast.AST, cls: Class, name: str) -> Value:
        if name in cls.names:
            return cls.names[name]
        for base in cls.bases:
            if isinstance(base, (Class, Thing)):
                return self.attribute(node, base, name)
        return UNKNOWN

    def _of_object(self, node: ast.AST, value: Object, name: str) -> Value:
        """An attribute of an object of the script's class: the class's own, or its bases'."""
        cls = value.cls
        if name in cls.names:
            found = cls.names[name]
            return Bound(found, value) if isinstance(found, Function) else found
        if name in cls.assigned:
            start = cls.names.get("__init__")
            if name not in cls.given and isinstance(start, Function) and start.read is None:
                self.call_function(start, Call([], {}, starred=True, more=True), value)
            return cls.given.get(name, UNKNOWN)
        if name in cls.given:
            return cls.given[name]
        return self.of_bases(node, cls, name)

    def of_bases(self, node: ast.AST, cls: Class, name: str) -> Value:
        """``super().name``."""
        if any(not isinstance(base, (Class, Thing)) for base in cls.bases):
            return UNKNOWN
        for base in cls.bases:
            if isinstance(base, Class):
                return self._of_object(node, Object(base), name)
            if isinstance(base, Thing) and isinstance(base.value, type):
                return self.attribute(node, Instance(base.value, base.name), name)
        return UNKNOWN

    def _eval_Tuple(self, node: ast.Tuple | ast.List) -> Value:
        values = [self.eval(item) for item in node.elts]
        known = not any(isinstance(item, ast.Starred) for item in node.elts)
        return Items(tuple(values)) if known else UNKNOWN

    _eval_List = _eval_Tuple

    def _eval_Dict(self, node: ast.Dict) -> Value:
        fields: dict[str, Value] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            value = self.eval(item)
            if key is None and isinstance(value, Fields):
                fields |= value.values
            elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                fields[key.value] = value
            else:
                self.eval(key)
        return Fields(fields)

    def _eval_Subscript(self, node: ast.Subscript) -> Value:
        value, index = self.eval(node.value), self.eval(node.slice)
        if _is_tensor(value):
            return value
        key = index.value if isinstance(index, Literal) else None
        if isinstance(value, Items) and isinstance(key, int):
            return value.values[key] if -len(value.values) <= key < len(value.values) else UNKNOWN
        if isinstance(value, Fields) and isinstance(key, str):
            return value.values.get(key, UNKNOWN)
        return UNKNOWN

    def _eval_BinOp(self, node: ast.BinOp) -> Value:
        left, right = self.eval(node.left), self.eval(node.right)
        return left if _is_tensor(left) else right if _is_tensor(right) else UNKNOWN

    def _eval_NamedExpr(self, node: ast.NamedExpr) -> Value:
        value = self.eval(node.value)
        self.scope.names[node.target.id] = value
        return value

    def _eval_Lambda(self, node: ast.Lambda) -> Value:
        with self.inner():
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    self.scope.names[argument.arg] = UNKNOWN
            self.eval(node.body)
        return UNKNOWN

    @contextlib.contextmanager
    def inner(self) -> Iterator[None]:
        """A scope inside this one."""
        outer, self.scope = self.scope, Scope(self.scope)
        try:
            yield
        finally:
            self.scope = outer

    def _eval_ListComp(self, node: Any) -> Value:
        with self.inner():
            for part in node.generators:
                self.eval(part.iter)
                for name in ast.walk(part.target):
                    if isinstance(name, ast.Name):
                        self.scope.names[name.id] = UNKNOWN
                for test in part.ifs:
                    self.eval(test)
            for name in ("key", "value", "elt"):
                self.eval(getattr(node, name, None))
        return UNKNOWN

    _eval_SetComp = _eval_DictComp = _eval_GeneratorExp = _eval_ListComp

    # Conditions

    def _eval_IfExp(self, node: ast.IfExp) -> Value:
        self.eval(node.test)
        yes, no, truth = *self.branches(node.test), self.truth(node.test)
        with self.when(yes):
            first = self.eval(node.body)
        with self.when(no):
            second = self.eval(node.orelse)
        self.both_fail(yes, no)
        return merge(first, second) if truth is None else first if truth else second

    def _eval_BoolOp(self, node: ast.BoolOp) -> Value:
        stops = isinstance(node.op, ast.Or)  # an operand of this truth ends the evaluation
        values, pushed = [], 0
        for operand in node.values:
            values.append(self.eval(operand))
            truth = self.truth(operand)
            if truth is None or truth is stops:
                kind = "branch" if truth is None else "never"
                text = "only if the condition before it asks" if truth is None else "never reached"
                self.conditions.append(Condition(kind, text))
                pushed += 1
        del self.conditions[len(self.conditions) - pushed :]
        return _joined(values)

    def branches(self, test: ast.expr) -> tuple[Condition | None, Condition | None]:
        """The conditions of the code under ``if test`` and under its ``else``."""
        truth, line = self.truth(test), test.lineno
        if truth is None:
            return (
                Condition("branch", f"if line {line} holds"),
                Condition("branch", f"unless line {line} holds"),
            )
        checking = "TYPE_CHECKING" in ast.unparse(test)
        shown = TYPE_CHECKING if checking else f"never runs (line {line})"
        never = Condition("never", shown)
        return (None, never) if truth else (never, None)

    def truth(self, test: ast.expr) -> bool | None:
        """Whether ``test`` holds here, or None if that shows only when it runs."""
        if isinstance(test, ast.Constant):
            return bool(test.value)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.truth(test.operand)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            truths = [self.truth(operand) for operand in test.values]
            decisive = isinstance(test.op, ast.Or)
            if decisive in truths:
                return decisive
            return None if None in truths else not decisive
        text = ast.unparse(test)
        if text.rpartition(".")[2] == "TYPE_CHECKING":
            return False
        if text in ("__name__ == '__main__'", "'__main__' == __name__"):
            return self.is_main
        if isinstance(test, ast.Name) and test.id.isupper():
            value = self.scope.get(test.id)
            return value.value if _is_flag(value) else None  # type: ignore[union-attr]
        return self._truth_of_call(test) if isinstance(test, ast.Call) else None

    def _truth_of_call(self, test: ast.Call) -> bool | None:
        """``is_peft_available()`` and ``hasattr(torch, "xpu")``: the mirrors answer."""
        if ast.unparse(test.func) == "hasattr" and len(test.args) == 2:
            value, name = self._quietly(test.args[0]), test.args[1]
            if isinstance(value, (Module, Thing)) and isinstance(name, ast.Constant):
                finding = surface.attribute(value, str(name.value))[1]
                return finding is None or finding.verdict is not Verdict.FAILS
            return None
        function = self._quietly(test.func)
        if isinstance(function, Thing) and _AVAILABLE.search(function.name) and not test.args:
            with contextlib.suppress(Exception):
                return bool(function.value())
        return None

    def _quietly(self, node: ast.expr) -> Value:
        """Evaluate a dotted name without noting it."""
        if isinstance(node, ast.Name):
            return self.scope.get(node.id) or UNKNOWN
        if isinstance(node, ast.Attribute):
            value = self._quietly(node.value)
            return surface.attribute(value, node.attr)[0]
        return UNKNOWN

    # Calls

    def _eval_Call(self, node: ast.Call) -> Value:
        text = ast.unparse(node.func)
        special = _BUILTINS.get(text) or _SPECIAL.get(text.rpartition(".")[2])
        if special is not None:
            value = special(self, node)
            if value is not None:
                return value
        base: Value | None = None
        if isinstance(node.func, ast.Attribute):
            base = self.named(node.func.value)
            function = self.attribute(node.func, base, node.func.attr)
        else:
            function = self.named(node.func)
        if text in ("isinstance", "issubclass"):
            self.named(ast.Tuple(node.args, ast.Load()))
            return UNKNOWN
        kept, self.naming = self.naming, False
        call = self.arguments(node)
        self.naming = kept
        if base is UNKNOWN and isinstance(node.func, ast.Attribute):
            finding = surface.method_of_unknown(node.func.attr)
            if finding is not None and not self._is_module(node.func.value):
                self.note(node.func, f"?.{node.func.attr}", finding)
        return self.call(node, function, call)

    def arguments(self, node: ast.Call) -> Call:
        values, keywords, more = [], {}, False
        for argument in node.args:
            values.append(self.eval(argument))
        for word in node.keywords:
            value = self.eval(word.value)
            if word.arg is not None:
                keywords[word.arg] = value
            elif isinstance(value, Fields):
                keywords |= value.values
            else:
                more = True
        starred = any(isinstance(argument, ast.Starred) for argument in node.args)
        return Call(values, keywords, starred, more)

    def call(self, node: ast.Call, function: Value, call: Call) -> Value:
        """Check a call of ``function`` and return what it gives."""
        if isinstance(function, Several):
            branch = Condition("branch", "for one of the values that it may have")
            parts = [p for p in function.values if not isinstance(p, Literal)]
            with self.when(branch if len(parts) > 1 else None):
                return _joined([self.call(node, part, call) for part in parts])
        if isinstance(function, Thing):
            return self.call_thing(node, function, call)
        if isinstance(function, Function):
            return self.call_function(function, call, None)
        if isinstance(function, Bound):
            return self.call_function(function.function, call, function.owner)
        if isinstance(function, Class):
            return self._make(node, function, call)
        if isinstance(function, Instance):
            method = surface.called_method(function.cls)
            return calls.result(Thing(method, function.name, function), call) if method else UNKNOWN
        return UNKNOWN

    def _is_module(self, node: ast.expr) -> bool:
        """Whether an object of which nothing is known is a module, a part of one, or built in."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and (
            node.id in self.modules or self.scope.get(node.id) is None
        )

    def call_thing(self, node: ast.AST, thing: Thing, call: Call) -> Value:
        against = surface.use(thing)
        if against is not None:
            self.note(node, thing.name, against)
            return UNKNOWN
        works = []
        idle = self.findings.get(thing.name, surface.WORKS).verdict is Verdict.NO_EFFECT
        for word, finding in calls.check(thing, call):
            idle_too = idle and finding.verdict is Verdict.NO_EFFECT
            if idle_too or (finding.verdict is Verdict.WORKS and not finding.how):
                works.append(word)
            else:
                self.note(node, f"{thing.name}({word}=)" if word else f"{thing.name}()", finding)
        if thing.name in self.findings:
            self.note(node, thing.name, self.findings[thing.name], works)
        return calls.result(thing, call)

    def _make(self, node: ast.Call, cls: Class, call: Call) -> Value:
        """Make an object of the script's class."""
        made, holder = Object(cls), cls
        while isinstance(holder, Class):
            if "__new__" in holder.names:
                return UNKNOWN
            start = holder.names.get("__init__")
            if isinstance(start, Function):
                self.call_function(start, call, made)
                return made
            holder = next((b for b in holder.bases if isinstance(b, (Class, Thing))), None)
        own_fields = set(cls.names) | cls.assigned
        if isinstance(holder, Thing) and isinstance(holder.value, type):
            words = {k: v for k, v in call.keywords.items() if k not in own_fields}
            self.call_thing(node, holder, Call(call.values[:0], words, call.starred, call.more))
        return made


def _joined(values: list[Value]) -> Value:
    found = values[0] if values else UNKNOWN
    for value in values[1:]:
        found = merge(found, value)
    return UNKNOWN if isinstance(found, Several) and UNKNOWN in found.values else found


def _is_tensor(value: Value | None) -> bool:
    return isinstance(value, Instance) and value.name == "torch.Tensor"


def _is_flag(value: Value | None) -> bool:
    return isinstance(value, Literal) and isinstance(value.value, bool)


# Calls that mean something to a reader of source


def _getattr(reader: Expressions, node: ast.Call) -> Value | None:
    if len(node.args) not in (2, 3) or not isinstance(node.args[1], ast.Constant):
        return None
    value = reader.eval(node.args[0])
    spared = Condition("caught", "getattr has a default", (AttributeError,))
    with reader.when(spared if len(node.args) == 3 else None):
        found = reader.attribute(node, value, str(node.args[1].value))
    default = reader.eval(node.args[2]) if len(node.args) == 3 else found
    return found if id(spared) not in reader.hits else default


def _import_module(reader: Expressions, node: ast.Call) -> Value | None:
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return reader.import_name(node, first.value)
    return None


def _dict(reader: Expressions, node: ast.Call) -> Value | None:
    return None if node.args else Fields(reader.arguments(node).keywords)


def _partial(reader: Expressions, node: ast.Call) -> Value | None:
    function = reader.named(node.args[0]) if node.args else UNKNOWN
    call = reader.arguments(ast.Call(node.func, node.args[1:], node.keywords))
    if isinstance(function, Thing):
        reader.call_thing(node, function, call)
    return UNKNOWN


def _same(reader: Expressions, node: ast.Call) -> Value | None:
    return reader.eval(node.args[0]) if len(node.args) == 1 else None


def _super(reader: Expressions, node: ast.Call) -> Value | None:
    return Super(reader.classes[-1]) if reader.classes else None


_BUILTINS = {"getattr": _getattr, "dict": _dict, "super": _super}
_SPECIAL = {"import_module": _import_module, "partial": _partial, "deepcopy": _same}
