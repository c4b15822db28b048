"""Mirror of ``accelerate.scheduler``: a schedule that steps when its optimizer did."""

from __future__ import annotations

from typing import Any

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.state import AcceleratorState, GradientState


class AcceleratedScheduler:
    """Wraps a schedule of the torch surface, or Paddle's own."""

    def __init__(
        self,
        scheduler: Any,
        optimizers: Any,
        step_with_optimizer: bool = True,
        split_batches: bool = False,
    ) -> None:
        self.scheduler = scheduler
        self.optimizers = optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]
        self.split_batches = split_batches
        self.step_with_optimizer = step_with_optimizer
        self.gradient_state = GradientState()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "scheduler":
            raise AttributeError(name)
        return getattr(self.scheduler, name)

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Step if the optimizers did; always with ``step_with_optimizer=False``."""
        if not self.step_with_optimizer:
            self.scheduler.step(*args, **kwargs)
            return
        if not self.gradient_state.sync_gradients:
            if self.gradient_state.adjust_scheduler and hasattr(self.scheduler, "_step_count"):
                self.scheduler._step_count += 1
            return
        if any(optimizer.step_was_skipped for optimizer in self.optimizers):
            return
        for _ in range(1 if self.split_batches else AcceleratorState().num_processes):
            # A schedule with an end (OneCycle) refuses steps beyond it.
            total = getattr(self.scheduler, "total_steps", None)
            if total is None or self.scheduler._step_count <= total:
                self.scheduler.step(*args, **kwargs)

    def get_last_lr(self) -> list[float]:
        if hasattr(self.scheduler, "get_last_lr"):
            return self.scheduler.get_last_lr()
        return [self.scheduler.last_lr]

    def get_lr(self) -> Any:
        return self.scheduler.get_lr()

    def print_lr(self, *args: Any, **kwargs: Any) -> Any:
        return self.scheduler.print_lr(*args, **kwargs)

    def state_dict(self) -> Any:
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict: Any) -> None:
        if hasattr(self.scheduler, "load_state_dict"):
            self.scheduler.load_state_dict(state_dict)
        else:
            self.scheduler.set_state_dict(state_dict)


__getattr__ = fallback(__name__)
