"""Mirror of ``transformers.optimization``: learning-rate schedules and Adafactor.

A schedule is a factor of the step number, by which the optimizer's first rate is multiplied.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

from transformers.trainer_utils import SchedulerType

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.optimization_greedy import GreedyLR

__all__ = [
    *(
        "Adafactor",
        "AdafactorSchedule",
        "GreedyLR",
        "StreamingAverage",
        "TYPE_TO_SCHEDULER_FUNCTION",
    ),
    *("get_adafactor_schedule", "get_constant_schedule", "get_constant_schedule_with_warmup"),
    *("get_cosine_schedule_with_warmup", "get_cosine_with_hard_restarts_schedule_with_warmup"),
    "get_cosine_with_min_lr_schedule_with_warmup",
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate",
    *("get_greedy_schedule", "get_inverse_sqrt_schedule", "get_linear_schedule_with_warmup"),
    *("get_polynomial_decay_schedule_with_warmup", "get_reduce_on_plateau_schedule"),
    *("get_scheduler", "get_wsd_schedule"),
]


def _scheduled(optimizer: Any, factor: Callable[..., float], last_epoch: int, **kwargs: Any) -> Any:
    from hfpaddle.torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, functools.partial(factor, **kwargs), last_epoch)


def _rising(step: int, warmup: int) -> float:
    return float(step) / float(max(1, warmup))


def _progress(step: int, warmup: int, total: int) -> float:
    return float(step - warmup) / float(max(1, total - warmup))


# Factors


def _constant(step: int) -> float:
    return 1


def _constant_with_warmup(step: int, *, warmup: int) -> float:
    # The divisor is at least 1.0 and may be a fraction, as upstream.
    return float(step) / float(max(1.0, warmup)) if step < warmup else 1.0


def _linear(step: int, *, warmup: int, total: int) -> float:
    if step < warmup:
        return _rising(step, warmup)
    return max(0.0, float(total - step) / float(max(1, total - warmup)))


def _cosine(step: int, *, warmup: int, total: int, cycles: float, least: float = 0.0) -> float:
    if step < warmup:
        return _rising(step, warmup)
    angle = math.pi * float(cycles) * 2.0 * _progress(step, warmup, total)
    return max(0, 0.5 * (1.0 + math.cos(angle)) * (1 - least) + least)


def _cosine_restarts(step: int, *, warmup: int, total: int, cycles: int) -> float:
    if step < warmup:
        return _rising(step, warmup)
    progress = _progress(step, warmup, total)
    if progress >= 1.0:
        return 0.0
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((float(cycles) * progress) % 1.0))))


def _polynomial(
    step: int, *, warmup: int, total: int, first: float, last: float, power: float
) -> float:
    if step < warmup:
        return _rising(step, warmup)
    if step > total:
        return last / first
    left = 1 - (step - warmup) / (total - warmup)
    return ((first - last) * left**power + last) / first


def _inverse_sqrt(step: int, *, warmup: int, timescale: int) -> float:
    if step < warmup:
        return _rising(step, warmup)
    return 1.0 / math.sqrt((step + timescale - warmup) / timescale)


def _cosine_from_rate(
    step: int, *, warmup: int, total: int, cycles: float, least: float, start: float | None
) -> float:
    step, warmup, total = float(step), float(warmup), float(total)
    if step < warmup:
        if start is None:
            return (step + 1.0) / max(1.0, warmup)
        return float(start) + (1.0 - float(start)) * step / max(1, warmup - 1)
    progress = (step - warmup + 1.0) / max(1.0, total - warmup)
    factor = 0.5 * (1.0 + math.cos(math.pi * cycles * 2.0 * progress))
    return max(0, factor * (1 - least) + least)


def _stable(
    step: int,
    *,
    warmup: int,
    stable: int,
    decay: int,
    shapes: tuple[str, str],
    least: float,
    cycles: float,
) -> float:
    if step < warmup:
        progress = _rising(step, warmup)
        factor = {
            "linear": progress,
            "cosine": 0.5 * (1.0 - math.cos(math.pi * progress)),
            "1-sqrt": 1.0 - math.sqrt(1.0 - progress),
        }[shapes[0]]
    elif step < warmup + stable:
        return 1.0
    elif step < warmup + stable + decay:
        progress = float(step - warmup - stable) / float(max(1, decay))
        factor = {
            "linear": 1.0 - progress,
            "cosine": 0.5 * (1.0 + math.cos(math.pi * float(cycles) * 2.0 * progress)),
            "1-sqrt": 1.0 - math.sqrt(progress),
        }[shapes[1]]
    else:
        return least
    return max(0.0, factor * (1.0 - least) + least)


# Schedules: arguments as upstream's; ``last_epoch`` is the last step done when resuming.


def get_constant_schedule(optimizer: Any, last_epoch: int = -1) -> Any:
    """The optimizer's rate."""
    return _scheduled(optimizer, _constant, last_epoch)


def get_reduce_on_plateau_schedule(optimizer: Any, **kwargs: Any) -> Any:
    """The optimizer's rate, reduced when a metric no longer improves."""
    from hfpaddle.torch.optim.lr_scheduler import ReduceLROnPlateau

    return ReduceLROnPlateau(optimizer, **kwargs)


def get_greedy_schedule(optimizer: Any, **kwargs: Any) -> GreedyLR:
    """The optimizer's rate, raised and lowered by what a metric does."""
    return GreedyLR(optimizer, **kwargs)


def get_constant_schedule_with_warmup(
    optimizer: Any, num_warmup_steps: int, last_epoch: int = -1
) -> Any:
    """A linear rise from 0, then the optimizer's rate."""
    return _scheduled(optimizer, _constant_with_warmup, last_epoch, warmup=num_warmup_steps)


def get_linear_schedule_with_warmup(
    optimizer: Any, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> Any:
    """A linear rise from 0, then a linear fall to 0."""
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return _scheduled(optimizer, _linear, last_epoch, **steps)


def get_cosine_schedule_with_warmup(
    optimizer: Any,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> Any:
    """A linear rise from 0, then ``num_cycles`` waves of a cosine; half a wave ends at 0."""
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return _scheduled(optimizer, _cosine, last_epoch, **steps, cycles=num_cycles)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer: Any,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: int = 1,
    last_epoch: int = -1,
) -> Any:
    """A linear rise from 0, then ``num_cycles`` falls to 0."""
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return _scheduled(optimizer, _cosine_restarts, last_epoch, **steps, cycles=num_cycles)


def get_polynomial_decay_schedule_with_warmup(
    optimizer: Any,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
    last_epoch: int = -1,
) -> Any:
    """A linear rise from 0, then a fall to ``lr_end`` as a power of what is left.

    Raises: ValueError unless the optimizer's rate is above ``lr_end``.
    """
    first = optimizer.defaults["lr"]
    if not first > lr_end:
        raise ValueError(f"lr_end ({lr_end}) must be smaller than initial lr ({first})")
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    shape = {"first": first, "last": lr_end, "power": power}
    return _scheduled(optimizer, _polynomial, last_epoch, **steps, **shape)


def get_inverse_sqrt_schedule(
    optimizer: Any, num_warmup_steps: int, timescale: int | None = None, last_epoch: int = -1
) -> Any:
    """A linear rise from 0, then one over the square root of the steps in ``timescale``."""
    scale = num_warmup_steps or 10_000 if timescale is None else timescale
    steps = {"warmup": num_warmup_steps, "timescale": scale}
    return _scheduled(optimizer, _inverse_sqrt, last_epoch, **steps)


def _least_factor(optimizer: Any, min_lr: float | None, min_lr_rate: float | None) -> float:
    if min_lr is not None and min_lr_rate is not None:
        raise ValueError("Only one of min_lr or min_lr_rate should be set")
    if min_lr is None and min_lr_rate is None:
        raise ValueError("One of min_lr or min_lr_rate should be set (lr_scheduler_kwargs)")
    return min_lr_rate if min_lr is None else min_lr / optimizer.defaults["lr"]  # type: ignore


def get_cosine_with_min_lr_schedule_with_warmup(
    optimizer: Any,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> Any:
    """The cosine schedule that ends at ``min_lr``, or at that part of the optimizer's rate."""
    least = _least_factor(optimizer, min_lr, min_lr_rate)
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return _scheduled(optimizer, _cosine, last_epoch, **steps, cycles=num_cycles, least=least)


def get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
    optimizer: Any,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> Any:
    """The cosine schedule to ``min_lr`` whose rise begins at ``warmup_lr_rate`` of the rate."""
    least = _least_factor(optimizer, min_lr, min_lr_rate)
    shape = {"cycles": num_cycles, "least": least, "start": warmup_lr_rate}
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return _scheduled(optimizer, _cosine_from_rate, last_epoch, **steps, **shape)


def get_wsd_schedule(
    optimizer: Any,
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> Any:
    """A rise from ``min_lr_ratio`` of the rate, the rate, and a fall back.

    Raises: ValueError for unknown shapes, or without a number of steps to be stable in.
    """
    if num_training_steps is None and num_stable_steps is None:
        raise ValueError("Either num_training_steps or num_stable_steps must be specified.")
    if num_training_steps is not None and num_stable_steps is not None:
        warnings.warn(
            "Both num_training_steps and num_stable_steps are specified. num_stable_steps is used.",
            stacklevel=2,
        )
    for kind, shape in (("warmup", warmup_type), ("decay", decay_type)):
        if shape not in ("linear", "cosine", "1-sqrt"):
            raise ValueError(f"Unknown {kind} type: {shape}, use 'linear', 'cosine' or '1-sqrt'")
    if num_stable_steps is None:
        num_stable_steps = num_training_steps - num_warmup_steps - num_decay_steps
    return _scheduled(
        optimizer,
        _stable,
        last_epoch,
        warmup=num_warmup_steps,
        stable=num_stable_steps,
        decay=num_decay_steps,
        shapes=(warmup_type, decay_type),
        least=min_lr_ratio,
        cycles=num_cycles,
    )


TYPE_TO_SCHEDULER_FUNCTION: dict[SchedulerType, Callable[..., Any]] = {
    SchedulerType.LINEAR: get_linear_schedule_with_warmup,
    SchedulerType.COSINE: get_cosine_schedule_with_warmup,
    SchedulerType.COSINE_WITH_RESTARTS: get_cosine_with_hard_restarts_schedule_with_warmup,
    SchedulerType.POLYNOMIAL: get_polynomial_decay_schedule_with_warmup,
    SchedulerType.CONSTANT: get_constant_schedule,
    SchedulerType.CONSTANT_WITH_WARMUP: get_constant_schedule_with_warmup,
    SchedulerType.INVERSE_SQRT: get_inverse_sqrt_schedule,
    SchedulerType.REDUCE_ON_PLATEAU: get_reduce_on_plateau_schedule,
    SchedulerType.COSINE_WITH_MIN_LR: get_cosine_with_min_lr_schedule_with_warmup,
    SchedulerType.COSINE_WARMUP_WITH_MIN_LR: get_cosine_with_min_lr_schedule_with_warmup_lr_rate,
    SchedulerType.WARMUP_STABLE_DECAY: get_wsd_schedule,
    SchedulerType.GREEDY: get_greedy_schedule,
}
_ONLY_WARMUP = (SchedulerType.CONSTANT_WITH_WARMUP, SchedulerType.INVERSE_SQRT)
_BY_METRIC = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)


def get_scheduler(
    name: str | SchedulerType,
    optimizer: Any,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Return the schedule called ``name`` for ``optimizer``.

    Args:
        num_warmup_steps, num_training_steps: where the schedule needs them.
        scheduler_specific_kwargs: further arguments of the schedule's own function.
    Raises: ValueError for an unknown name or a number of steps that is missing.
    """
    kind = SchedulerType(name)
    make, kwargs = TYPE_TO_SCHEDULER_FUNCTION[kind], dict(scheduler_specific_kwargs or {})
    if kind == SchedulerType.CONSTANT:
        return make(optimizer)
    if kind in _BY_METRIC:
        return make(optimizer, **kwargs)
    if num_warmup_steps is None:
        raise ValueError(f"{kind} requires `num_warmup_steps`, please provide that argument.")
    if kind == SchedulerType.CONSTANT_WITH_WARMUP:
        kwargs = {}
    if kind not in _ONLY_WARMUP:
        if num_training_steps is None and kind != SchedulerType.WARMUP_STABLE_DECAY:
            raise ValueError(f"{kind} requires `num_training_steps`, please provide that argument.")
        kwargs["num_training_steps"] = num_training_steps
    return make(optimizer, num_warmup_steps=num_warmup_steps, **kwargs)


def get_adafactor_schedule(optimizer: Any, initial_lr: float = 0.0) -> Any:
    """A schedule that reports the rates which Adafactor sets itself."""
    from hfpaddle.transformers.optimization_adafactor import AdafactorSchedule

    return AdafactorSchedule(optimizer, initial_lr)


def __getattr__(name: str) -> Any:
    # These derive from classes of the torch surface, which loads when it is asked for.
    if name in ("Adafactor", "AdafactorSchedule"):
        from hfpaddle.transformers import optimization_adafactor

        return getattr(optimization_adafactor, name)
    if name == "AdamW":
        raise UnsupportedArgumentError(
            "transformers.AdamW was removed in transformers 5. Use torch.optim.AdamW."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
