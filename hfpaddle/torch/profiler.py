"""``torch.profiler``: contexts that record nothing, and say so once."""

from __future__ import annotations

import enum
from typing import Any

from hfpaddle.core.logging import warn_once
from hfpaddle.torch._missing import decorator, missing

__emulated__ = True


class ProfilerActivity(enum.Enum):
    """What torch could record."""

    CPU = 0
    CUDA = 1
    XPU = 2


class ProfilerAction(enum.Enum):
    """States of a schedule."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


class profile:
    """A context that runs its body."""

    def __init__(self, *_: Any, **__: Any):
        warn_once("torch.profiler.profile records nothing here. Use paddle.profiler.Profiler.")

    def __enter__(self) -> profile:
        return self

    def __exit__(self, *exc: Any) -> None:
        """Nothing to stop."""

    def start(self) -> None:
        """Nothing to start."""

    stop = step = start
    key_averages = missing("profiler.key_averages", "Use paddle.profiler.Profiler.summary.")
    export_chrome_trace = missing("profiler.export_chrome_trace", "Use paddle.profiler.Profiler.")


class record_function:
    """A named context (or decorator) that runs its body."""

    def __init__(self, name: str, args: Any = None):
        self.name = name

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *exc: Any) -> None:
        """Nothing to record."""

    __call__ = staticmethod(decorator)


def schedule(**_: Any) -> Any:
    """A schedule that never records."""
    return lambda step: ProfilerAction.NONE


def tensorboard_trace_handler(*_: Any, **__: Any) -> Any:
    """A handler that gets nothing."""
    return lambda profiler: None
