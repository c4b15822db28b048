"""Mirror of ``accelerate.local_sgd``: processes that train apart for some steps; here, one does."""

from __future__ import annotations

from typing import Any

from hfpaddle.accelerate.mirror import fallback

__getattr__ = fallback(__name__)


class LocalSGD:
    """Counts steps; with one process there is nobody to average weights with."""

    def __init__(
        self, accelerator: Any, model: Any, local_sgd_steps: int, enabled: bool = True
    ) -> None:
        self.enabled = False
        self.num_steps = 0

    def __enter__(self) -> LocalSGD:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to average."""

    def step(self) -> None:
        self.num_steps += 1
