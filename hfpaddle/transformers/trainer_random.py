"""The state of every random stream that a training run draws from, kept and restored as data.

Paddle's own CPU generator gives its state to nobody, so the Trainer seeds it anew for each batch
from the run's seed and the number of the batch (`seed_step`): that needs no state.
"""

from __future__ import annotations

import base64
import random
from typing import Any

import numpy as np
import paddle

from hfpaddle.core import rng

Snapshot = dict[str, Any]


def snapshot() -> Snapshot:
    """Return the states of Python's, numpy's and our generator."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "stream": rng.default_generator.get_state(),
    }


def restore(state: Snapshot) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    rng.default_generator.set_state(state["stream"])


def to_json(state: Snapshot) -> dict[str, Any]:
    """Return ``state`` as plain JSON."""
    version, words, gauss = state["python"]
    name, key, position, has_gauss, cached = state["numpy"]
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, _encode(key), int(position), int(has_gauss), float(cached)],
        "stream": _encode(state["stream"]),
    }


def from_json(data: dict[str, Any]) -> Snapshot:
    version, words, gauss = data["python"]
    name, key, *rest = data["numpy"]
    return {
        "python": (version, tuple(words), gauss),
        "numpy": (name, _decode(key, np.uint32), *rest),
        "stream": _decode(data["stream"], np.uint8),
    }


def _encode(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _decode(text: str, dtype: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).copy()


def seed_step(seed: int, batch: int) -> None:
    """Seed Paddle's generators for batch number ``batch`` of a run with ``seed``."""
    words = np.random.SeedSequence([seed % 2**64, batch]).generate_state(1, np.uint32)
    paddle.seed(int(words[0]))
