"""A call of something of ours: whether it takes the arguments, and what it gives back."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from hfpaddle.checking import rules, source
from hfpaddle.checking.report import Finding, Verdict
from hfpaddle.checking.surface import shown_name
from hfpaddle.checking.values import UNKNOWN, Class, Instance, Items, Literal, Object, Thing, Value
from hfpaddle.core.errors import nearest

# What comes back from calls whose annotation cannot say it: the argument itself, or `prepare`'s.
_GIVES_BACK = frozenset(
    """torch.compile torch.jit.trace torch.jit.script accelerate.Accelerator.unwrap_model
    accelerate.Accelerator.prepare_model accelerate.Accelerator.prepare_optimizer
    accelerate.Accelerator.prepare_data_loader accelerate.Accelerator.prepare_scheduler""".split()
)


@dataclass
class Call:
    """The arguments of a call, as far as they are known."""

    values: list[Value]
    keywords: dict[str, Value]
    starred: bool = False
    more: bool = False
    findings: list[tuple[str, Finding]] = field(default_factory=list)


def parameters(thing: Thing) -> list[inspect.Parameter] | None:
    """The parameters that a caller fills; None where they cannot be read."""
    value = thing.value
    try:
        found = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return None
    bound = isinstance(thing.owner, Instance) and inspect.isfunction(value)
    if bound and found and not _is_static(thing):
        found = found[1:]
    return found


def _is_static(thing: Thing) -> bool:
    cls = thing.owner.cls if isinstance(thing.owner, Instance) else None
    name = thing.name.rpartition(".")[2]
    return isinstance(inspect.getattr_static(cls, name, None), (staticmethod, classmethod))


def check(thing: Thing, call: Call) -> list[tuple[str, Finding]]:
    """Return (keyword, verdict) for each keyword of ``call``, and for positional trouble."""
    found: list[tuple[str, Finding]] = rules.positional(thing, call.values)
    known = parameters(thing)
    if known is not None:
        trouble = _too_many(known, call)
        found += [("", trouble)] if trouble else []
    facts = source.keywords(_constructor(thing.value))
    if str(getattr(thing.value, "__module__", "")).startswith("transformers"):
        known = None  # the original's own, so what it takes is what the script knows
    for name, value in call.keywords.items():
        verdict = rules.keyword(thing, name, value)
        if verdict is None:
            verdict = _by_signature(known, facts, name)
            unset = isinstance(value, Literal) and not value.value
            if unset and verdict.verdict in (Verdict.WORKS, Verdict.NO_EFFECT):
                verdict = Finding(Verdict.WORKS)  # what a warning would say of it does not apply
        found.append((name, verdict))
    return found


def _constructor(value: Any) -> Any:
    return value.__init__ if isinstance(value, type) else value


def _by_signature(
    known: list[inspect.Parameter] | None, facts: source.Keywords, name: str
) -> Finding:
    if known is None:
        return Finding(Verdict.WORKS)
    named = [p.name for p in known if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if name not in named:
        if facts.swallows:
            return Finding(Verdict.NO_EFFECT, source.unread_how())
        if any(p.kind is p.VAR_KEYWORD for p in known):
            return Finding(Verdict.WORKS)
        return Finding(Verdict.FAILS, f"no such keyword{nearest(name, named)}", TypeError)
    if name in facts.unread:
        return Finding(Verdict.NO_EFFECT, source.unread_how())
    warning = facts.warnings.get(name, "")
    if "no effect" in warning:
        return Finding(Verdict.NO_EFFECT, warning)
    return Finding(Verdict.WORKS, warning)


def _too_many(known: list[inspect.Parameter], call: Call) -> Finding | None:
    kinds = [p.kind for p in known]
    if call.starred or inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    places = sum(
        k in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for k in kinds
    )
    if len(call.values) <= places:
        return None
    how = f"takes {places} positional arguments, {len(call.values)} are given"
    return Finding(Verdict.FAILS, how, TypeError)


# What comes back


def result(thing: Thing, call: Call) -> Value:
    """What calling ``thing`` gives."""
    value, owner = thing.value, thing.owner
    if thing.name in _GIVES_BACK and call.values:
        return call.values[0]
    if thing.name == "accelerate.Accelerator.prepare" and not call.starred:
        return call.values[0] if len(call.values) == 1 else Items(tuple(call.values))
    if isinstance(value, type):
        maker = _maker(value)
        if maker is None:
            return Instance(value, thing.name, parts=tuple(call.values))
        value = maker
    if isinstance(owner, Thing) and isinstance(owner.value, type):
        made = _made_by_class(owner, thing.name.rpartition(".")[2])
        if made is not None:
            return made
    if isinstance(owner, Instance) and thing.name.rpartition(".")[2].startswith("parse_"):
        return _parsed(owner)
    if isinstance(owner, Instance) and source.returns_itself(value):
        return owner
    cls = source.returned_class(value)
    if cls is None:
        return UNKNOWN
    if isinstance(owner, Instance) and issubclass(owner.cls, cls):
        return owner  # a method that returns its object
    return Instance(cls, shown_name(cls)) if _of_interest(cls) else UNKNOWN


def _maker(cls: type) -> Any:
    """The ``__new__`` of ours that decides what calling ``cls`` gives, or None."""
    found = next((base for base in cls.__mro__ if "__new__" in vars(base)), object)
    if source.ours(type(cls)) and "__call__" in vars(type(cls)):
        return type(cls).__call__
    return found.__new__ if source.ours(found) else None


def _of_interest(cls: type) -> bool:
    import paddle

    return source.ours(cls) or issubclass(cls, (paddle.Tensor, paddle.nn.Layer))


def _made_by_class(owner: Thing, method: str) -> Value | None:
    """What ``Class.from_pretrained`` and its kin give."""
    from hfpaddle.modeling.auto import _AutoModel
    from hfpaddle.modeling.base import PreTrainedModel

    cls = owner.value
    if method not in ("from_pretrained", "from_config", "_from_config", "from_dict"):
        return None
    if issubclass(cls, _AutoModel):
        return Instance(PreTrainedModel, "transformers.PreTrainedModel", exact=False)
    if cls.__name__.startswith("Auto") or not source.ours(cls):
        return UNKNOWN
    return Instance(cls, owner.name)


def _parsed(parser: Instance) -> Value:
    """The objects that an HfArgumentParser makes of the classes it was given."""
    if parser.cls.__name__ != "HfArgumentParser" or not parser.parts:
        return UNKNOWN
    classes = parser.parts[0]
    made: list[Value] = []
    for one in classes.values if isinstance(classes, Items) else (classes,):
        if isinstance(one, Thing) and isinstance(one.value, type):
            made.append(Instance(one.value, one.name))
        else:
            made.append(Object(one) if isinstance(one, Class) else UNKNOWN)
    return Items(tuple(made))
