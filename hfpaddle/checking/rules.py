"""Keywords and values that the surfaces decide by tables of their own, read from those tables.

Where a class checks its settings itself, it is asked: made with the one literal value, of which it
says by a warning or an error what becomes of it. Nothing of the script takes part.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hfpaddle.checking.report import Finding, Verdict
from hfpaddle.checking.surface import literal_of
from hfpaddle.checking.values import Instance, Literal, Module, Thing, Value
from hfpaddle.core.errors import HfpaddleError
from hfpaddle.core.logging import logger, warn_once


def keyword(thing: Thing, name: str, value: Value) -> Finding | None:
    """The verdict of the tables on ``thing(name=value)``; None if no table has it."""
    for applies, decide in _RULES:
        if applies(thing):
            return decide(thing, name, value)
    return None


def positional(thing: Thing, values: list[Value]) -> list[tuple[str, Finding]]:
    """Verdicts on positional arguments that a table decides: (name, verdict)."""
    if not values:
        return []
    name, verdict = "", None
    if _is(thing, "hfpaddle.transformers.pipelines.factory", "pipeline"):
        name, verdict = "task", keyword(thing, "task", values[0])
    elif _makes_models(thing):
        name, verdict = "model_type", _model_type(thing, values[0])
    return [(name, verdict)] if verdict else []


def _makes_models(thing: Thing) -> bool:
    from hfpaddle.modeling.auto import _AutoModel

    owner = thing.owner.value if isinstance(thing.owner, Thing) else None
    auto = isinstance(owner, type) and issubclass(owner, _AutoModel)
    return auto and thing.name.rpartition(".")[2] in ("from_pretrained", "from_config")


def _model_type(thing: Thing, source: Value) -> Finding | None:
    """Whether the family of a config, or of a folder that is here, is implemented."""
    from hfpaddle.modeling.registry import auto_model_class

    model_type = None
    if isinstance(source, Instance):
        model_type = getattr(source.cls, "model_type", None)
    elif isinstance(source, Literal) and isinstance(source.value, str):
        with contextlib.suppress(OSError, ValueError):
            text = Path(source.value, "config.json").read_text(encoding="utf-8")
            model_type = json.loads(text).get("model_type")
    if not model_type:
        return None
    auto = thing.owner.value.__name__  # type: ignore[union-attr]
    return ask(lambda: auto_model_class(auto, model_type), model_type)


def _is(thing: Thing, module: str, *names: str) -> bool:
    value = thing.value
    value = getattr(value, "__func__", value)
    here = getattr(value, "__module__", None) == module
    return here and getattr(value, "__qualname__", None) in names


def _fails(text: str, error: type[BaseException] = ValueError) -> Finding:
    return Finding(Verdict.FAILS, " ".join(text.split()).rstrip("."), error)


# Asking a class of ours


class _Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect the warnings of hfpaddle; show none."""
    said, handlers, propagate = _Said(), logger.handlers[:], logger.propagate
    originals = logging.getLogger("transformers")
    level, own = originals.level, logger.level
    warn_once.cache_clear()
    logger.handlers, logger.propagate = [said], False
    logger.setLevel(logging.WARNING)
    originals.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said.messages
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(own)
        originals.setLevel(level)
        warn_once.cache_clear()


def ask(function: Callable[[], Any], about: str) -> Finding | None:
    """Call a function of ours and turn what it says of ``about`` into a verdict.

    Errors other than hfpaddle's own are upstream's, of settings that belong together: no verdict.
    """
    with _listening() as messages:
        try:
            function()
        except HfpaddleError as error:
            return _fails(str(error), type(error))
        except Exception:
            return None
    for message in messages:
        if re.search(rf"(?<!\w){re.escape(about)}(?!\w)", message):
            text = message.rstrip(".")
            changes = "no effect" in text or "float32" in text
            return Finding(Verdict.NO_EFFECT if changes else Verdict.WORKS, text)
    return None


# TrainingArguments


def _training_arguments(thing: Thing, name: str, value: Value) -> Finding | None:
    tables = importlib.import_module("hfpaddle.transformers.training_args")
    cls = thing.value
    if name not in {field.name for field in dataclasses.fields(cls)}:
        return None
    try:
        literal = literal_of(value)
    except LookupError:
        literal = dataclasses.MISSING
    if name == "optim":
        return _optimizer(literal)
    if name == "report_to":
        return _report_to(value)
    if literal is not dataclasses.MISSING:
        return ask(lambda: cls(**{"output_dir": "out", name: literal}), name)
    table: dict[str, str]
    for table in (tables.NO_EFFECT, tables.OBSOLETE):
        if name in table:
            return Finding(Verdict.NO_EFFECT, table[name])
    if name in tables.RENAMED:
        return Finding(Verdict.WORKS, f"called {tables.RENAMED[name]} in transformers 5")
    if name in tables.REFUSED:
        return Finding(Verdict.MAY_FAIL, f"if it is given: {tables.REFUSED[name]}")
    return None


def _optimizer(literal: Any) -> Finding | None:
    from hfpaddle.transformers.trainer_optimizer import optimizer_class
    from hfpaddle.transformers.training_args import OptimizerNames

    if literal is dataclasses.MISSING:
        return None
    numbers = dict.fromkeys("learning_rate adam_beta1 adam_beta2 adam_epsilon".split(), 0.5)
    try:
        chosen = OptimizerNames(literal)
    except ValueError as error:
        return _fails(str(error))
    settings = SimpleNamespace(optim=chosen, optim_args=None, **numbers)
    return ask(lambda: optimizer_class(settings), "optim")


def _report_to(value: Value) -> Finding | None:
    from transformers.integrations import get_available_reporting_integrations

    from hfpaddle.transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for item in getattr(value, "values", None) or (value,):
        if not isinstance(item, Literal) or item.value in (None, "none", "all"):
            continue
        if item.value not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(INTEGRATION_TO_CALLBACK)
            return _fails(f"report_to={item.value!r} is not known; have {known}")
        if item.value not in get_available_reporting_integrations():
            return _fails(f"the package {item.value} is not installed", ImportError)
    return None


# Loading and saving


def _loading(thing: Thing, name: str, value: Value) -> Finding | None:
    loading = importlib.import_module("hfpaddle.modeling.loading")
    if name not in loading.ARGUMENTS:
        return None
    try:
        literal = literal_of(value)
    except LookupError:
        if name in loading.REFUSED:
            how = f"if it is given: not supported (nearest: {loading.REFUSED[name]})"
            return Finding(Verdict.MAY_FAIL, how, ValueError)
        literal = True if name in (*loading.INERT, *loading.ALWAYS_SO) else None
    return ask(lambda: loading.parse("", {name: literal}), name)


def _saving(thing: Thing, name: str, value: Value) -> Finding | None:
    saving = importlib.import_module("hfpaddle.modeling.saving")
    if name in saving.NO_EFFECT:
        return Finding(Verdict.NO_EFFECT, "the Hub's layout is written")
    if name == "safe_serialization" and isinstance(value, Literal) and not value.value:
        return ask(lambda: saving.save_pretrained(None, "", safe_serialization=False), name)
    return None


# The others


def _accelerator(thing: Thing, name: str, value: Value) -> Finding | None:
    try:
        literal = literal_of(value)
    except LookupError:
        return None
    if name in ("log_with", "project_dir"):
        return None
    state = importlib.import_module("hfpaddle.accelerate.state")
    shared = [
        cls.__dict__["_shared_state"]
        for cls in (state.PartialState, state.AcceleratorState, state.GradientState)
    ]
    kept = [dict(one) for one in shared]
    for one in shared:
        one.clear()
    try:
        return ask(lambda: thing.value(**{name: literal}), name)
    finally:
        for one, before in zip(shared, kept, strict=True):
            one.clear()
            one.update(before)


def _pipeline(thing: Thing, name: str, value: Value) -> Finding | None:
    from hfpaddle.transformers.pipelines.tasks import check_task

    if name == "task" and isinstance(value, Literal) and isinstance(value.value, str):
        return ask(lambda: check_task(value.value), "task")
    return None


def _is_class(*names: str) -> Callable[[Thing], bool]:
    def applies(thing: Thing) -> bool:
        value = thing.value
        found = {base.__name__ for base in value.__mro__} if isinstance(value, type) else set()
        return bool(found & set(names)) and value.__module__.startswith("hfpaddle.")

    return applies


def _is_loading(thing: Thing) -> bool:
    from hfpaddle.modeling.auto import _AutoModel
    from hfpaddle.modeling.base import PreTrainedModel

    owner = thing.owner.value if isinstance(thing.owner, Thing) else None
    model = isinstance(owner, type) and issubclass(owner, (_AutoModel, PreTrainedModel))
    return model and thing.name.endswith(".from_pretrained")


def _is_saving(thing: Thing) -> bool:
    from hfpaddle.modeling.base import PreTrainedModel

    model = isinstance(thing.owner, Instance) and issubclass(thing.owner.cls, PreTrainedModel)
    return model and thing.name.endswith(".save_pretrained")


_RULES: tuple[tuple[Callable[[Thing], bool], Callable[..., Finding | None]], ...] = (
    (_is_class("TrainingArguments"), _training_arguments),
    (_is_class("Accelerator"), _accelerator),
    (_is_loading, _loading),
    (_is_saving, _saving),
    (lambda t: _is(t, "hfpaddle.transformers.pipelines.factory", "pipeline"), _pipeline),
)


def overridden(bases: list[Any], name: str) -> Finding | None:
    """The verdict on a method that a script's class defines over one of ``bases``."""
    from hfpaddle.transformers.trainer import Trainer
    from hfpaddle.transformers.trainer_surface import NEVER_CALLED

    if name in NEVER_CALLED and any(isinstance(b, type) and issubclass(b, Trainer) for b in bases):
        return Finding(Verdict.NO_EFFECT, "hfpaddle's Trainer never calls it")
    return None


def setting(module: Module, name: str, known: bool) -> Finding | None:
    """The verdict on ``module.name = value``."""
    if known:
        return None
    return Finding(Verdict.NO_EFFECT, f"nothing in hfpaddle reads {module.name}.{name}")


def not_installed(name: str) -> Finding | None:
    """The verdict on importing a package that is no mirror's; None if it is there."""
    top = name.partition(".")[0]
    try:
        found = importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        found = True
    return None if found else Finding(Verdict.FAILS, f"{top} is not installed", ImportError)
