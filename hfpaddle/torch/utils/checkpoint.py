"""``torch.utils.checkpoint``: trade time for memory, over Paddle's recompute.

The second forward pass draws the same random numbers as the first: torch's stream here is put back
for it, Paddle's own by Paddle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import paddle
from paddle.distributed.fleet.utils import recompute

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.recompute import Replayed

__all__ = ["checkpoint", "checkpoint_sequential", "noop_context_fn"]


def noop_context_fn() -> tuple[Any, Any]:
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable, *args: Any, use_reentrant: bool | None = None,
    context_fn: Callable = noop_context_fn, determinism_check: str = "default",
    debug: bool = False, early_stop: bool = True, preserve_rng_state: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """``function(*args, **kwargs)``, computed again in the backward pass and not kept.

    ``use_reentrant`` is accepted: gradients are those of torch's non-reentrant form either way.
    Raises: UnsupportedArgumentError for a ``context_fn``.
    """
    if context_fn is not noop_context_fn:
        raise UnsupportedArgumentError(
            "checkpoint: context_fn has no implementation here. Leave it out."
        )
    if not paddle.is_grad_enabled():
        return function(*args, **kwargs)
    call = Replayed(function) if preserve_rng_state else function
    return recompute(
        call, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state, **kwargs
    )


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Call ``functions`` one after another in ``segments`` checkpoints; the last one is kept."""
    steps: Sequence[Callable] = list(functions)
    size = len(steps) // segments

    def run(first: int, last: int) -> Callable:
        def call(value: Any) -> Any:
            for step in steps[first : last + 1]:
                value = step(value)
            return value

        return call

    end = -1
    for first in range(0, size * (segments - 1), size):
        end = first + size - 1
        input = checkpoint(run(first, end), input, use_reentrant=use_reentrant, **kwargs)
    return run(end + 1, len(steps) - 1)(input)
