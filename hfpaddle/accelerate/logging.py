"""Mirror of ``accelerate.logging``: a logger that speaks once, not once a process."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import MutableMapping
from typing import Any

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.state import PartialState


class MultiProcessAdapter(logging.LoggerAdapter):
    """Takes ``main_process_only`` (default True) and ``in_order``, and writes the rank."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        msg, kwargs = super().process(msg, kwargs)
        kwargs.setdefault("stacklevel", 2)
        return f"[RANK {PartialState().process_index}] {msg}", kwargs

    def log(self, level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log.

        Raises: RuntimeError before PartialState() or Accelerator() was made.
        """
        if PartialState._shared_state == {}:
            raise RuntimeError(
                "You must initialize the accelerate state by calling either `PartialState()` or "
                "`Accelerator()` before using the logging utility."
            )
        main_only, in_order = kwargs.pop("main_process_only", True), kwargs.pop("in_order", False)
        if not self.isEnabledFor(level):
            return
        if in_order or not main_only or PartialState().is_main_process:
            text, options = self.process(msg, kwargs)
            self.logger.log(level, text, *args, **options)

    @functools.lru_cache(None)  # noqa: B019 - as upstream: a logger lives as long as the program
    def warning_once(self, *args: Any, **kwargs: Any) -> None:
        self.warning(*args, **kwargs)


def get_logger(name: str, log_level: str | None = None) -> MultiProcessAdapter:
    """Return the logger ``name``; the level defaults to ``ACCELERATE_LOG_LEVEL``."""
    log_level = log_level or os.environ.get("ACCELERATE_LOG_LEVEL")
    logger = logging.getLogger(name)
    if log_level is not None:
        logger.setLevel(log_level.upper())
        logger.root.setLevel(log_level.upper())
    return MultiProcessAdapter(logger, {})


__getattr__ = fallback(__name__)
