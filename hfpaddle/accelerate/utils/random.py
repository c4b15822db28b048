"""Mirror of ``accelerate.utils.random``: seeds, and the state of every stream."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import paddle

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.core import rng


def _streams() -> list[rng.Generator]:
    """The default streams: of models and generation, and of the torch surface."""
    from hfpaddle.torch import _random

    found = [rng.default_generator, _random.default_generator.stream]
    return found[:1] if found[0] is found[1] else found


def set_seed(seed: int, device_specific: bool = False, deterministic: bool = False) -> None:
    """Seed Python, numpy, Paddle and the torch surface.

    Args:
        seed: any integer that numpy takes.
        device_specific: add the rank of the process.
        deterministic: ask Paddle for deterministic kernels.
    """
    from hfpaddle import torch

    if device_specific:
        from hfpaddle.accelerate.state import AcceleratorState

        seed += AcceleratorState().process_index
    random.seed(seed)
    np.random.seed(seed)
    rng.manual_seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        paddle.set_flags({"FLAGS_cudnn_deterministic": True})


def get_rng_states() -> dict[str, Any]:
    """Return the state of every stream, as plain data."""
    return {
        "random_state": random.getstate(),
        "numpy_random_seed": np.random.get_state(),
        "streams": [stream.get_state() for stream in _streams()],
        "paddle": [state.__getstate__() for state in paddle.get_rng_state()],
    }


def set_rng_states(states: dict[str, Any]) -> None:
    """Go back to what :func:`get_rng_states` returned."""
    random.setstate(states["random_state"])
    np.random.set_state(states["numpy_random_seed"])
    for stream, state in zip(_streams(), states["streams"], strict=True):
        stream.set_state(np.asarray(state))
    restored = []
    for current, saved in zip(paddle.get_rng_state(), states["paddle"], strict=True):
        state = type(current).__new__(type(current))
        state.__setstate__(tuple(saved))
        restored.append(state)
    paddle.set_rng_state(restored)


def synchronize_rng_state(rng_type: Any = None, generator: Any = None) -> None:
    """One process agrees with itself."""


def synchronize_rng_states(rng_types: list[Any], generator: Any = None) -> None:
    """One process agrees with itself."""


__getattr__ = fallback(__name__)
