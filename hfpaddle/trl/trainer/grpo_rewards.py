"""Where rewards come from: functions, coroutine functions and reward models."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
from transformers.utils import logging

from hfpaddle.trl.data_utils import apply_chat_template, is_conversational
from hfpaddle.trl.trainer.utils import get_config_model_id

logger = logging.get_logger("trl")


def _bare(function: Callable) -> Callable:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def get_callable_name(function: Callable) -> str:
    """Return the name under which a function's rewards are logged."""
    function = _bare(function)
    return getattr(function, "__name__", type(function).__name__)


def is_async_callable(function: Callable) -> bool:
    """Tell whether ``function`` must be awaited; an object may be so by its ``__call__``."""
    function = _bare(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that runs beside the program, so that clients can stay open."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="hfpaddle-rewards", daemon=True).start()
    return loop


class Rewards:
    """The reward functions of a trainer.

    Args:
        functions: callables, reward models, or names of such; one or a list.
        processing_classes: tokenizers of the models, as many; None for their own.
        args: GRPOConfig.

    Attributes:
        functions, names, processing_classes: one of each a reward.
        weights: ``[F]`` float32.
        extra: columns that functions logged since `take`, by name.
        metrics: values that they logged.
    """

    def __init__(self, functions: Any, processing_classes: Any, args: Any) -> None:
        functions = [] if functions is None else functions
        functions = list(functions) if isinstance(functions, list) else [functions]
        if not functions:
            raise ValueError("No reward source provided. Pass `reward_funcs`.")
        kwargs = dict(args.model_init_kwargs or {})
        kwargs.setdefault("trust_remote_code", args.trust_remote_code)
        revisions = [kwargs.get("revision") if isinstance(f, str) else None for f in functions]
        self.functions = [_loaded(f, kwargs) if isinstance(f, str) else f for f in functions]
        self.names = [self._name(function) for function in self.functions]
        self.weights = self._read_weights(args.reward_weights)
        self.processing_classes = self._tokenizers(processing_classes, revisions)
        self.extra: dict[str, list] = defaultdict(list)
        self.metrics: dict[str, list] = defaultdict(list)
        for function in self.functions:
            if isinstance(function, paddle.nn.Layer):
                function.to(args._device_name)
                function.eval()

    @staticmethod
    def _name(function: Any) -> str:
        if isinstance(function, paddle.nn.Layer):
            return get_config_model_id(function.config).split("/")[-1]
        return get_callable_name(function)

    def _read_weights(self, weights: list[float] | None) -> np.ndarray:
        if weights is None:
            return np.ones(len(self.functions), np.float32)
        if len(weights) != len(self.functions):
            raise ValueError(
                f"Number of reward weights ({len(weights)}) must match number of reward functions "
                f"({len(self.functions)})"
            )
        return np.asarray(weights, np.float32)

    def _tokenizers(self, given: Any, revisions: list[Any]) -> list[Any]:
        """Return a tokenizer for each reward model, None for functions."""
        from hfpaddle.transformers import AutoTokenizer

        given = [None] * len(self.functions) if given is None else given
        given = list(given) if isinstance(given, list) else [given]
        if len(given) != len(self.functions):
            raise ValueError(
                f"The number of reward processing classes ({len(given)}) must match the number of "
                f"reward functions ({len(self.functions)})."
            )
        for i, (tokenizer, model) in enumerate(zip(given, self.functions, strict=True)):
            if not isinstance(model, paddle.nn.Layer):
                continue
            if tokenizer is None:
                further = {} if revisions[i] is None else {"revision": revisions[i]}
                tokenizer = AutoTokenizer.from_pretrained(
                    get_config_model_id(model.config), **further
                )
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
            # A reward model reads its score at the last token that is no padding.
            model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
            given[i] = tokenizer
        return given

    # Calling

    def __call__(
        self,
        examples: list[dict[str, Any]],
        prompts: list,
        completions: list,
        completion_ids: list[list[int]],
        state: Any,
        chat_template_kwargs: dict[str, Any],
    ) -> np.ndarray:
        """Return rewards ``[B, F]`` float32; NaN where a function gave None.

        Args:
            examples: rows of the data, whose columns functions get by name.
            prompts, completions: strings or messages.
            state: the trainer's, for rewards that change during training.
        Raises: ValueError for a function that gives another number of rewards.
        """
        taken = ("prompt", "completion", "completion_ids")
        given = {k: [row[k] for row in examples] for k in examples[0] if k not in taken}
        columns = dict(given)
        given |= {"prompts": prompts, "completions": completions, "completion_ids": completion_ids}
        given |= {"trainer_state": state}
        given |= {"log_extra": self._log_extra, "log_metric": self._log_metric}
        rewards = np.full([len(prompts), len(self.functions)], np.nan, np.float32)
        waiting = []
        for i, function in enumerate(self.functions):
            if isinstance(function, paddle.nn.Layer):
                rewards[:, i] = self._score(i, prompts, completions, chat_template_kwargs)
            elif is_async_callable(function):
                waiting.append(i)
            else:
                rewards[:, i] = self._checked(i, function(**given), len(prompts))
        for i, values in zip(waiting, self._awaited(waiting, given), strict=True):
            rewards[:, i] = self._checked(i, values, len(prompts))
        self._warn_of_none(rewards, columns, prompts, completions)
        return rewards

    def _awaited(self, which: list[int], given: dict[str, Any]) -> list:
        """Await coroutine functions side by side."""
        if not which:
            return []

        async def all_of_them() -> list:
            return await asyncio.gather(*(self.functions[i](**given) for i in which))

        return asyncio.run_coroutine_threadsafe(all_of_them(), _loop()).result()

    def _checked(self, i: int, values: Any, count: int) -> list[float]:
        values = [np.nan if value is None else float(value) for value in values]
        if len(values) != count:
            raise ValueError(
                f"The reward function '{self.names[i]}' returned {len(values)} rewards, but "
                f"{count} were expected (one per prompt-completion pair). Make sure the reward "
                "function returns exactly one reward per completion."
            )
        return values

    @paddle.no_grad()
    def _score(self, i: int, prompts: list, completions: list, template: dict) -> np.ndarray:
        """Let a reward model read prompts with their completions."""
        tokenizer, pairs = self.processing_classes[i], zip(prompts, completions, strict=True)
        if is_conversational({"prompt": prompts[0]}):
            messages = [{"messages": prompt + completion} for prompt, completion in pairs]
            texts = [apply_chat_template(x, tokenizer, **template)["text"] for x in messages]
        else:
            texts = [prompt + completion for prompt, completion in pairs]
        model = self.functions[i]
        place = next(iter(model.parameters())).place
        batch = tokenizer(
            text=texts,
            return_tensors="np",
            padding=True,
            padding_side="right",
            add_special_tokens=False,
        )
        inputs = {key: paddle.to_tensor(value, place=place) for key, value in batch.items()}
        return model(**inputs).logits[:, 0].astype("float32").numpy()

    def _warn_of_none(
        self, rewards: np.ndarray, columns: dict[str, list], prompts: list, completions: list
    ) -> None:
        rows = np.flatnonzero(np.isnan(rewards).all(axis=1))
        if rows.size:
            first = int(rows[0])
            shown = {key: values[first] for key, values in columns.items()}
            shown |= {"prompt": prompts[first], "completion": completions[first]}
            logger.warning(
                f"All reward functions returned None for the following kwargs:\n{shown}\n"
                "Please ensure that at least one reward function returns a valid reward."
            )

    # What functions log

    def _log_extra(self, column: str, values: list) -> None:
        """Add a column to the table of completions; one value a completion."""
        self.extra[column].extend(values)

    def _log_metric(self, name: str, value: float) -> None:
        """Add a value to the next log entry, which has the mean."""
        self.metrics[name].append(value)

    def take(self) -> tuple[dict[str, list], dict[str, float]]:
        """Return the columns, and the mean of each metric, that were logged since the last call."""
        extra, metrics = dict(self.extra), self.metrics
        means = {name: sum(values) / len(values) for name, values in sorted(metrics.items())}
        self.extra, self.metrics = defaultdict(list), defaultdict(list)
        return extra, means


def _loaded(name: str, kwargs: dict[str, Any]) -> Any:
    from hfpaddle.transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(name, num_labels=1, **kwargs)
