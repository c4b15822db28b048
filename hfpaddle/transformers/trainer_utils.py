"""Mirror of ``transformers.trainer_utils``: seeds set Paddle's generators and ours too."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import paddle

from hfpaddle.core import rng


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed Python, numpy, Paddle, and the stream from which generation and new weights draw.

    Args:
        seed: any integer.
        deterministic: ask Paddle for deterministic kernels as well.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)
    rng.manual_seed(seed)
    if deterministic:
        paddle.set_flags({"FLAGS_cudnn_deterministic": True})


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.transformers.mirror import resolve

    return resolve(name, __name__)
