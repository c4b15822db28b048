"""One logger for the package and a way to say a thing once."""

from __future__ import annotations

import functools
import logging

logger = logging.getLogger("hfpaddle")


@functools.lru_cache(None)
def warn_once(message: str) -> None:
    """Log ``message`` as a warning the first time it is given."""
    logger.warning(message)
