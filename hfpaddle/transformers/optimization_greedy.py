"""GreedyLR: a rate that rises while a metric improves and falls while it does not.

Source: arXiv:2512.14527, as in ``transformers.optimization``.
"""

from __future__ import annotations

import copy
from typing import Any


class StreamingAverage:
    """Mean of the last ``window_size`` values."""

    def __init__(self, window_size: int) -> None:
        self.window_size = window_size
        self.values: list[float] = []
        self.sum = 0.0

    def streamavg(self, value: float) -> float:
        """Take ``value`` in and return the mean."""
        self.values.append(value)
        self.sum += value
        if len(self.values) > self.window_size:
            self.sum -= self.values.pop(0)
        return self.sum / len(self.values)

    def state_dict(self) -> dict[str, Any]:
        return copy.deepcopy(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(copy.deepcopy(state_dict))


class GreedyLR:
    """Divide the rate by ``factor`` after ``patience`` better metrics, multiply it after as many
    that are no better.

    Args:
        optimizer: has ``param_groups`` with ``lr``.
        mode: "min" or "max", what a better metric is.
        factor: below 1.
        threshold, threshold_mode: by how much a metric must be better, "abs" or "rel".
        cooldown, warmup: steps to wait after a fall and after a rise.
        min_lr, max_lr: bounds, one for all groups or one each.
        eps: smaller changes are not made.
        smooth, window_size: judge the mean of the last metrics.
        reset_start: falls at the lower bound after which all starts anew.
    """

    _KEYS = (
        "factor min_lrs max_lrs patience verbose cooldown warmup cooldown_counter warmup_counter "
        "mode threshold threshold_mode best num_bad_epochs num_good_epochs eps last_epoch smooth "
        "window_size reset_start reset_start_original _last_lr _init_lrs"
    ).split()

    def __init__(
        self,
        optimizer: Any,
        mode: str = "min",
        factor: float = 0.95,
        patience: int = 10,
        threshold: float = 1e-6,
        threshold_mode: str = "abs",
        cooldown: int = 0,
        warmup: int = 0,
        min_lr: float | list[float] = 1e-3,
        max_lr: float | list[float] = 1.0,
        eps: float = 1e-8,
        verbose: bool = False,
        smooth: bool = False,
        window_size: int = 50,
        reset_start: int = 500,
    ) -> None:
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode, self.eps = threshold, threshold_mode, eps
        self.cooldown, self.warmup, self.verbose = cooldown, warmup, verbose
        self.smooth, self.window_size = smooth, window_size
        self.reset_start = self.reset_start_original = reset_start
        self.last_epoch = 0
        self.min_lrs, self.max_lrs = self._per_group(min_lr), self._per_group(max_lr)
        self._init_lrs = [group["lr"] for group in optimizer.param_groups]
        self._last_lr = list(self._init_lrs)
        self._start()

    def _per_group(self, bound: Any) -> list[float]:
        groups = len(self.optimizer.param_groups)
        if not isinstance(bound, (list, tuple)):
            return [bound] * groups
        if len(bound) != groups:
            raise ValueError(f"expected {groups} bounds, got {len(bound)}")
        return list(bound)

    def _start(self) -> None:
        self.best = float("inf") if self.mode == "min" else float("-inf")
        self.num_bad_epochs = self.num_good_epochs = 0
        self.cooldown_counter = self.warmup_counter = 0
        self.reset_start = self.reset_start_original
        self._streaming_avg = StreamingAverage(self.window_size) if self.smooth else None

    def is_better(self, current: float, best: float) -> bool:
        margin = self.threshold
        if self.mode == "min":
            limit = best * (1.0 - margin) if self.threshold_mode == "rel" else best - margin
            return current < limit
        limit = best * (1.0 + margin) if self.threshold_mode == "rel" else best + margin
        return current > limit

    def step(self, metrics: float, epoch: int | None = None) -> None:
        """Judge ``metrics`` and set the rates."""
        current = float(metrics)
        if self._streaming_avg is not None:
            current = self._streaming_avg.streamavg(current)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.cooldown_counter > 0 or self.warmup_counter > 0:
            name = "cooldown_counter" if self.cooldown_counter > 0 else "warmup_counter"
            setattr(self, name, getattr(self, name) - 1)
            self.num_bad_epochs = self.num_good_epochs = 0
        else:
            self._judge(current)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _judge(self, current: float) -> None:
        if self.is_better(current, self.best):
            self.best = current
            self.num_bad_epochs, self.num_good_epochs = 0, self.num_good_epochs + 1
        else:
            self.num_bad_epochs, self.num_good_epochs = self.num_bad_epochs + 1, 0
        if self.num_good_epochs > self.patience:
            self._change(rise=True)
            self.reset_start = self.reset_start_original
            self.warmup_counter, self.num_good_epochs = self.warmup, 0
        elif self.num_bad_epochs > self.patience:
            at_bottom = self._change(rise=False)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            if at_bottom:
                self.reset_start -= 1
                if self.reset_start <= 0:
                    self._reset()

    def _change(self, rise: bool) -> bool:
        """Move each rate one step; tell whether all are at their lower bound."""
        groups = self.optimizer.param_groups
        for i, group in enumerate(groups):
            old = float(group["lr"])
            if rise:
                new = min(old / self.factor, self.max_lrs[i])
            else:
                new = max(old * self.factor, self.min_lrs[i])
            if (new - old if rise else old - new) > self.eps:
                group["lr"] = new
                if self.verbose:
                    print(f"Epoch {self.last_epoch}: learning rate of group {i} is now {new:.4e}.")
        return all(g["lr"] <= low for g, low in zip(groups, self.min_lrs, strict=True))

    def _reset(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self._init_lrs, strict=True):
            group["lr"] = rate
        # Upstream sets the counter of a fall anew as well, and only then leaves the step.
        self._start()
        self.cooldown_counter = self.cooldown

    def get_last_lr(self) -> list[float]:
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        state = {key: copy.copy(getattr(self, key)) for key in self._KEYS}
        if self._streaming_avg is not None:
            state["_streaming_avg"] = self._streaming_avg.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for key in self._KEYS:
            setattr(self, key, copy.copy(state_dict.get(key, getattr(self, key))))
        if "_streaming_avg" in state_dict:
            self._streaming_avg = self._streaming_avg or StreamingAverage(self.window_size)
            self._streaming_avg.load_state_dict(state_dict["_streaming_avg"])
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
