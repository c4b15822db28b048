"""Gradient checkpointing: a block runs again in the backward pass, and its insides are not kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfpaddle.core import rng
from hfpaddle.ops.precision import product_dtype, products


class Replayed:
    """Calls ``function`` with the shared random stream where the first call found it, and in the
    precision of the first call: the second comes from the backward pass, outside of autocast.

    Paddle puts back its own generators for the second run of a block, and knows nothing of ours:
    without this a block with dropout would get the gradient of another mask.
    """

    def __init__(self, function: Callable) -> None:
        self.function, self.start, self.dtype = function, None, product_dtype()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        stream = rng.default_generator
        if self.start is None:
            self.start = stream.get_state()
            return self.function(*args, **kwargs)
        now = stream.get_state()
        stream.set_state(self.start)
        try:
            with products(self.dtype):
                return self.function(*args, **kwargs)
        finally:
            stream.set_state(now)


def recompute(block: Callable, *inputs: Any) -> Any:
    """``block(*inputs)``, computed again in the backward pass with the same random numbers.

    Not reentrant: that would cut the gradient of what a block returns beside its result (router
    logits), and of everything behind a frozen embedding.
    """
    from paddle.distributed.fleet.utils import recompute as paddles

    return paddles(Replayed(block), *inputs, use_reentrant=False)
