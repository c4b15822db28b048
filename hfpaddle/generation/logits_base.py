"""What a logits processor is, and a list of them."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import paddle

_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class LogitsProcessor:
    """Changes the scores of the next token.

    Called with token ids so far ``[B, S]`` int64 and scores ``[B, V]`` float32 (logits, or log
    probabilities in beam search); returns new scores of that shape and leaves its inputs alone.
    """

    supports_continuous_batching: bool | None = None

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        raise NotImplementedError(
            f"{type(self)} is an abstract class. Only classes inheriting this class can be called."
        )


def _further(function: Any, first: int) -> tuple[bool, list[str]]:
    further = list(inspect.signature(function).parameters.values())[first:]
    required = [p.name for p in further if p.default is p.empty and p.kind not in _REST]
    return bool(further), required


_further_of_class = functools.lru_cache(maxsize=64)(_further)


def _asked_for(processor: Any) -> tuple[bool, list[str]]:
    """Return whether it takes more than ids and scores, and what it must be given besides."""
    if isinstance(processor, LogitsProcessor) and "__call__" not in vars(processor):
        return _further_of_class(type(processor).__call__, 3)  # the same at every step
    return _further(processor, 2)


class LogitsProcessorList(list):
    """Applies its members in order. Members may be plain functions ``(input_ids, scores)``."""

    def __call__(
        self, input_ids: paddle.Tensor, scores: paddle.Tensor, **kwargs: Any
    ) -> paddle.Tensor:
        for processor in self:
            further, required = _asked_for(processor)
            if not all(name in kwargs for name in required):
                raise ValueError(
                    f"Make sure that all the required parameters: {required} for "
                    f"{processor.__class__} are passed to the logits processor."
                )
            if not further:
                scores = processor(input_ids, scores)
                continue
            scores = processor(input_ids, scores, **kwargs)
        return scores


def positive_int(name: str, value: object, least: int = 1) -> int:
    """Return ``value`` if it is an int of at least ``least``, else raise the original's error."""
    if not isinstance(value, int) or value < least:
        kind = "a strictly positive integer" if least else "a non-negative integer"
        raise ValueError(f"`{name}` has to be {kind}, but is {value}")
    return value
