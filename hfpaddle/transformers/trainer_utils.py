"""Mirror of ``transformers.trainer_utils``: seeds set Paddle's generators and ours too."""

from __future__ import annotations

import contextlib
import functools
import random
from typing import Any

import numpy as np
import paddle

from hfpaddle.core import rng

_DETERMINISTIC = (
    *("FLAGS_cpu_deterministic", "FLAGS_cudnn_deterministic", "FLAGS_embedding_deterministic"),
)


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
    for flag in _DETERMINISTIC if deterministic else ():
        with contextlib.suppress(ValueError):  # a flag that this build of Paddle lacks
            paddle.set_flags({flag: 1})


def enable_full_determinism(seed: int, warn_only: bool = False) -> None:
    """`set_seed`, and deterministic kernels on every device."""
    set_seed(seed, deterministic=True)


def seed_worker(worker_id: int, num_workers: int, rank: int) -> None:
    """Seed what a data worker draws from by the seed that its loader gave it."""
    set_seed(num_workers * rank + rng.initial_seed() % 2**32)


def out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` says that a device or the host has no memory left."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, (RuntimeError, SystemError))
        and any(part in text for part in ("out of memory", "resourceexhausted", "can't allocate"))
    )


def find_executable_batch_size(
    function: Any = None, starting_batch_size: int = 128, auto_find_batch_size: bool = False
) -> Any:
    """Call ``function(batch_size=...)``; with ``auto_find_batch_size`` again with 0.9 of the size
    each time memory runs out.

    Raises: RuntimeError when not even one example fits.
    """
    if function is None:
        return functools.partial(
            find_executable_batch_size,
            starting_batch_size=starting_batch_size,
            auto_find_batch_size=auto_find_batch_size,
        )
    if not auto_find_batch_size:
        return functools.partial(function, batch_size=starting_batch_size)

    def shrinking(*args: Any, **kwargs: Any) -> Any:
        size = starting_batch_size
        while size:
            try:
                return function(*args, batch_size=size, **kwargs)
            except (RuntimeError, SystemError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            size = int(size * 0.9)
        raise RuntimeError("No executable batch size found, reached zero.")

    return shrinking


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "denumpify_detensorize":
        from hfpaddle.transformers.trainer_pt_utils import denumpify_detensorize

        return denumpify_detensorize
    from hfpaddle.transformers.mirror import resolve_in

    return resolve_in("trainer_utils", name)
