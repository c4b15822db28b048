"""Mirror of ``transformers.trainer_jit_checkpoint``: a checkpoint when the process is told to end.

Upstream writes at once, between a batch and its update as well; here the running step is ended
first, so that the checkpoint can be resumed exactly.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from transformers.trainer_callback import TrainerCallback
from transformers.utils import logging

logger = logging.get_logger("transformers.trainer_jit_checkpoint")


class JITCheckpointCallback(TrainerCallback):
    """After SIGTERM: end the step, save, stop. Signals are heard from ``on_train_begin`` on."""

    def __init__(self) -> None:
        self.is_checkpoint_requested = False
        self._original: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            logger.warning("enable_jit_checkpoint: only the main thread hears SIGTERM.")
            return
        self.is_checkpoint_requested = False
        self._original = signal.signal(signal.SIGTERM, self._requested)

    def _requested(self, number: int, frame: Any) -> None:
        logger.warning("SIGTERM: a checkpoint follows the running step, then training stops.")
        self.is_checkpoint_requested = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self.is_checkpoint_requested:
            control.should_save = control.should_training_stop = True
            self.is_checkpoint_requested = False
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._original is not None:
            signal.signal(signal.SIGTERM, self._original)
            self._original = None
