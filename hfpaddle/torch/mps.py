"""``torch.mps``: Paddle has no Metal device."""

from __future__ import annotations

import paddle

__emulated__ = True


def is_available() -> bool:
    """Paddle has no Metal device."""
    return False


def device_count() -> int:
    """None."""
    return 0


def empty_cache() -> None:
    """Nothing to do."""


def manual_seed(seed: int) -> None:
    """Seed Paddle's generators."""
    paddle.seed(int(seed) % (1 << 63))
