"""Which tasks there are: each file of this folder registers its own, nothing is listed here."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hfpaddle.core.errors import MissingFeatureError, UnsupportedArgumentError, nearest
from hfpaddle.core.logging import logger
from hfpaddle.modeling import registry

PACKAGE = "hfpaddle.transformers.pipelines"
# Older names of tasks that have no name near them.
_SUCCESSORS = {
    "text2text-generation": "text-generation",
    "summarization": "text-generation",
    "translation": "text-generation",
    "conversational": "text-generation",
}


class UnknownTaskError(MissingFeatureError, KeyError):
    """A pipeline task that has no implementation here. A KeyError as well, as upstream's is."""

    def __str__(self) -> str:  # KeyError would show the message quoted
        return str(self.args[0])


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        pipeline_class: what runs it.
        auto: names of the auto classes that load its models, tried in this order.
        default: name and revision of the model used when none is given, or None.
        inferred: whether a model whose head fits belongs to this task rather than to another.
    """

    name: str
    pipeline_class: type
    auto: tuple[str, ...] = ()
    default: tuple[str, str] | None = None
    inferred: bool = True


class PipelineRegistry:
    """The tasks; `register_pipeline` adds one's own."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.task_aliases: dict[str, str] = {}

    def get_supported_tasks(self) -> list[str]:
        """Return all names, aliases too, sorted."""
        discover()
        return sorted([*self.tasks, *self.task_aliases])

    def get(self, task: str) -> Task:
        """Return the task of this name or alias.

        Raises: UnknownTaskError naming the nearest one.
        """
        known = self.get_supported_tasks()
        found = self.tasks.get(self.task_aliases.get(task, task))
        if found is None:
            family = "translation" if str(task).startswith("translation") else task
            instead = _SUCCESSORS.get(family)
            hint = f" (nearest: {instead!r})" if instead else nearest(str(task), known)
            raise UnknownTaskError(
                f"pipeline: task {task!r} has no implementation here{hint}. Use one of {known}."
            )
        return found

    def check_task(self, task: str) -> tuple[str, dict[str, Any], None]:
        """Return the task's name without alias, and what is known of it as upstream's dict."""
        found = self.get(task)
        info = {"impl": found.pipeline_class, "pt": auto_classes(found)}
        if found.default is not None:
            info["default"] = {"model": found.default}
        return found.name, info, None

    def register_pipeline(
        self,
        task: str,
        pipeline_class: type,
        pt_model: Any = None,
        default: dict[str, Any] | None = None,
        type: str | None = None,
    ) -> None:
        """Add a task of one's own, or replace one.

        Args:
            pipeline_class: a subclass of `Pipeline`.
            pt_model: auto class, or a tuple of them, that loads its models.
            default: ``{"model": (name, revision)}``; ``{"pt": (name, revision)}`` works, too.
            type: accepted as upstream does; nothing depends on it.
        """
        discover()
        if task in self.tasks:
            logger.warning(f"{task} is already registered. Overwriting pipeline for task {task}...")
        models = pt_model if isinstance(pt_model, tuple) else (pt_model,)
        names = tuple(m if isinstance(m, str) else m.__name__ for m in models if m is not None)
        for name in names:
            if name not in registry.AUTO_TABLES:
                raise UnsupportedArgumentError(
                    f"register_pipeline: pt_model={name} is no auto class"
                    f"{nearest(name, registry.AUTO_TABLES)}. Pass one of "
                    f"{list(registry.AUTO_TABLES)}."
                )
        chosen: Any = default
        while isinstance(chosen, dict):
            chosen = chosen.get("model", chosen.get("pt"))
        self.tasks[task] = Task(task, pipeline_class, names, chosen, inferred=False)

    def infer(self, architecture: str, model_type: str) -> Task | None:
        """Return the task whose auto class gives ``architecture`` for ``model_type``, or None."""
        discover()
        for task in self.tasks.values():
            heads = (registry.class_name(auto, model_type) for auto in task.auto)
            if task.inferred and architecture in heads:
                return task
        return None


PIPELINE_REGISTRY = PipelineRegistry()


def register_task(
    name: str,
    *,
    auto: str | tuple[str, ...],
    default: tuple[str, str],
    aliases: tuple[str, ...] = (),
    inferred: bool = True,
) -> Callable[[type], type]:
    """Decorate a pipeline class with the task that it runs; see `Task` for the arguments."""

    def mark(cls: type) -> type:
        autos = auto if isinstance(auto, tuple) else (auto,)
        PIPELINE_REGISTRY.tasks[name] = Task(name, cls, autos, default, inferred)
        PIPELINE_REGISTRY.task_aliases.update(dict.fromkeys(aliases, name))
        return cls

    return mark


@functools.lru_cache(None)
def discover() -> tuple[Any, ...]:
    """Import every file of this folder, so that all have registered; returns the modules."""
    package = importlib.import_module(PACKAGE)
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return tuple(
        importlib.import_module(f"{PACKAGE}.{name}") for name in names if not name.endswith("_test")
    )


def auto_classes(task: Task) -> tuple[Any, ...]:
    """Return the auto classes themselves."""
    auto = importlib.import_module("hfpaddle.modeling.auto")
    return tuple(getattr(auto, name) for name in task.auto)


def get_supported_tasks() -> list[str]:
    """Return the names of all tasks and their aliases."""
    return PIPELINE_REGISTRY.get_supported_tasks()


def check_task(task: str) -> tuple[str, dict[str, Any], None]:
    """As `PipelineRegistry.check_task`."""
    return PIPELINE_REGISTRY.check_task(task)
