"""Random numbers of the transforms, from the stream that ``torch.manual_seed`` seeds.

Each function draws what the torch call of its comment draws, so sequences of transforms stay in
step with the original's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hfpaddle.torch._random import stream


def rand(shape: Sequence[int] = (1,)) -> np.ndarray:
    """``torch.rand(shape)``, float32."""
    return stream().uniform(tuple(shape))


def below(p: float) -> bool:
    """``torch.rand(1) < p``. torch compares in float32, so ``p`` is rounded."""
    return bool(rand()[0] < np.float32(p))


def uniform(low: float, high: float) -> float:
    """``torch.empty(1).uniform_(low, high).item()``."""
    return float(stream().uniform((1,), float(low), float(high))[0])


def randint(low: int, high: int) -> int:
    """``torch.randint(low, high, (1,)).item()``."""
    return int(stream().randint(low, high, (1,))[0])


def randperm(n: int) -> list[int]:
    """``torch.randperm(n)``."""
    return stream().randperm(n).tolist()


def normal(shape: Sequence[int]) -> np.ndarray:
    """``torch.empty(shape).normal_()``, float32."""
    return stream().normal(tuple(shape))


def choice(weights: Sequence[float]) -> int:
    """``torch.multinomial(torch.tensor(weights), 1)``."""
    return int(stream().multinomial(np.asarray(weights, np.float32), 1)[0])


def log32(values: Sequence[float]) -> tuple[float, float]:
    """``torch.log(torch.tensor(values))`` of two values."""
    first, second = (float(np.float32(math.log(np.float32(value)))) for value in values)
    return first, second


def exp32(value: float) -> float:
    """``torch.exp`` of a float32 value."""
    return float(np.float32(math.exp(value)))
