"""The bar of a training run: upstream's, and beside it the loss, tokens a second, and what part of
the tokens is no padding.

The numbers are the bar's own: logs and ``state.log_history`` stay upstream's. Counts and losses are
added up where they are, and read once a second, so that no step waits for its device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import paddle
import transformers

PERIOD = 1.0  # seconds between two readings


def count_tokens(inputs: Any, main: str, pad: int | None) -> tuple[Any, int] | None:
    """Return a batch's tokens without padding, and with it; None for what is no batch of tokens.

    Args:
        inputs: the batch. Where its mask is not one number a token, or there is none and no way to
            know the padding, all tokens count: those of packed samples have ``position_ids``.
        main: name of the tokens in it.
        pad: the padding token, by which batches without a mask are counted.
    Returns: the first, a tensor or a number, is not read here.
    """
    tokens = inputs.get(main) if isinstance(inputs, Mapping) else None
    if not hasattr(tokens, "shape") or len(tokens.shape) != 2:
        return None
    every = math.prod(tokens.shape)
    mask = inputs.get("attention_mask")
    if hasattr(mask, "shape") and list(mask.shape) == list(tokens.shape):
        return mask.sum(), every
    if mask is None and pad is not None and "position_ids" not in inputs:
        return (tokens != pad).sum(), every
    return every, every


class ProgressCallback(transformers.ProgressCallback):
    """Show the progress of training or evaluation.

    Behind the bar of training stand the mean loss of the last second's steps (the logged one after
    each log), tokens a second without padding, and their part of all tokens computed.

    Args:
        max_str_len: longer strings in logs are not printed.
    """

    # On the class, for those who derive from it and do not call its methods.
    _since: float | None = None
    _loss: Any = None
    _tokens: Any = 0
    _every = _steps = 0
    _shown_loss = _shown_rate = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self._shown_loss = self._shown_rate = ""
        self._restart()

    def on_batch(self, inputs: Any, loss: paddle.Tensor, main: str, pad: int | None) -> None:
        """Count a batch; the Trainer calls this after its backward pass."""
        if self.training_bar is None:
            return
        self._loss = loss if self._loss is None else self._loss + loss
        counted = count_tokens(inputs, main, pad)
        if counted is not None:
            self._tokens = self._tokens + counted[0]
            self._every += counted[1]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._steps += 1
        # The first step shows at once what it can.
        if not self._shown_loss or time.perf_counter() - (self._since or 0.0) >= PERIOD:
            self._read()
        super().on_step_end(args, state, control, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in (logs or {}):
            self._loss, self._steps = None, 0
            self._shown_loss = f"loss {float(logs['loss']):.4g}"
            self._write()
        super().on_log(args, state, control, logs=logs, **kwargs)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_evaluate(args, state, control, **kwargs)
        self._restart()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._restart()

    def _restart(self) -> None:
        """Forget what is not shown yet: time that passes outside steps is not theirs."""
        self._loss, self._tokens, self._every, self._steps = None, 0, 0, 0
        self._since = time.perf_counter()

    def _read(self) -> None:
        if self._loss is not None and self._steps:
            self._shown_loss = f"loss {float(self._loss) / self._steps:.4g}"
        if self._every and self._since is not None:
            tokens = int(self._tokens)
            speed = tokens / max(time.perf_counter() - self._since, 1e-9)
            self._shown_rate = f"{speed:,.0f} tok/s, {tokens / self._every:.0%} real"
        self._restart()
        self._write()

    def _write(self) -> None:
        if self.training_bar is not None:
            shown = ", ".join(filter(None, (self._shown_loss, self._shown_rate)))
            self.training_bar.set_postfix_str(shown, refresh=False)
