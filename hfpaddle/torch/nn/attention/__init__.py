"""``torch.nn.attention``: choosing a kernel of scaled_dot_product_attention."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

__emulated__ = True


class SDPBackend(enum.IntEnum):
    """torch's names of kernels."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """Accepted: there is one implementation, with the same result."""
    yield
