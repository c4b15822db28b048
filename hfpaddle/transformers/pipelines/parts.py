"""What a pipeline is made of besides its task: where the model goes, its tokenizer, its errors."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from typing import Any

from hfpaddle import backends
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.modeling import registry
from hfpaddle.transformers.tokenization import PaddleTensors, paddle_tokenizer


class PipelineException(Exception):
    """An input that a pipeline cannot work on; holds the ``task`` and the ``model``."""

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task, self.model = task, model


def choose_device(device: Any, model: Any) -> str:
    """Return the device that ``device=`` means to a pipeline.

    None leaves a model where it is if that is an accelerator, and otherwise takes the best device
    there is. A number is an accelerator's; where there is none it means the CPU, as upstream.
    """
    here = backends.resolve_device(place_of(model))
    best = backends.resolve_device("auto")
    if device is None:
        return here if backends.backend_of(here).indexed else best
    numbered = isinstance(device, int) and not isinstance(device, bool)
    if numbered and device < 0:
        return here if device == -1 else "cpu"
    if numbered and not backends.backend_of(best).indexed:
        warn_once(f"pipeline: device={device} asks for an accelerator, and there is none: {best}.")
        return best
    return backends.resolve_device(device)


def place_of(model: Any) -> Any:
    return next(iter(model.parameters())).place


def speaks_paddle(tokenizer: Any) -> Any:
    """Return ``tokenizer``, or a copy of transformers' own that gives Paddle tensors."""
    if tokenizer is None or isinstance(tokenizer, PaddleTensors):
        return tokenizer
    ours = copy.copy(tokenizer)
    ours.__class__ = paddle_tokenizer(type(tokenizer))
    return ours


def refuse_processors(cls: type, **processors: Any) -> None:
    """Raise UnsupportedArgumentError for parts that pipelines of class ``cls`` have no use for."""
    for name, value in processors.items():
        if value is not None and not getattr(cls, f"_load_{name}", None):
            raise UnsupportedArgumentError(
                f"pipeline: {name}={value!r} has no use for {cls.__name__}. Leave it out."
            )


def model_names(auto: str, model: Any) -> list[str]:
    """Return the class names behind an auto class, with the one that ``model``'s family adds."""
    table = getattr(registry.tables, registry.AUTO_TABLES[auto])
    own = getattr(sys.modules[type(model).__module__], "AUTO_CLASSES", {}).get(auto)
    return flat([*table.values(), *([own] if own else [])])


def flat(entries: Iterable) -> list[str]:
    """Return names from a table whose entries are names or tuples of names."""
    return [n for e in entries for n in (e if isinstance(e, (tuple, list)) else (e,))]
