"""Mirror of ``accelerate.utils.memory``: smaller batches until one fits."""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Callable
from typing import Any

import paddle

from hfpaddle.accelerate.mirror import fallback

# What an error says where memory ran out, on any Paddle device.
_STATEMENTS = (
    " out of memory.",
    "Out of memory error",
    "ResourceExhaustedError",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED.",
    "DefaultCPUAllocator: can't allocate memory",
)


def clear_device_cache(garbage_collection: bool = False) -> None:
    """Give unused device memory back."""
    if garbage_collection:
        gc.collect()
    if paddle.device.is_compiled_with_cuda():
        paddle.device.cuda.empty_cache()


def release_memory(*objects: Any) -> list[None]:
    """Return a None for each object; assign them to its names to let go of it."""
    clear_device_cache(garbage_collection=True)
    return [None] * len(objects)


def should_reduce_batch_size(exception: Exception) -> bool:
    """Whether ``exception`` says that memory ran out."""
    if isinstance(exception, MemoryError):
        return True
    if isinstance(exception, (RuntimeError, SystemError)) and len(exception.args) == 1:
        return any(statement in str(exception.args[0]) for statement in _STATEMENTS)
    return False


def find_executable_batch_size(
    function: Callable | None = None,
    starting_batch_size: int = 128,
    reduce_batch_size_fn: Callable[[], int] | None = None,
) -> Any:
    """Call ``function(batch_size, ...)`` with ever smaller batches until memory suffices.

    Raises: TypeError if a caller passes the batch size too; RuntimeError when it reaches zero.
    """
    if function is None:
        return functools.partial(
            find_executable_batch_size,
            starting_batch_size=starting_batch_size,
            reduce_batch_size_fn=reduce_batch_size_fn,
        )
    batch_size = starting_batch_size

    def smaller() -> int:
        return reduce_batch_size_fn() if reduce_batch_size_fn else int(batch_size * 0.9)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal batch_size
        clear_device_cache(garbage_collection=True)
        names = list(inspect.signature(function).parameters)
        if len(names) < len(args) + 1:
            shown = ", ".join(f"{n}={v}" for n, v in zip(names[1:], args[1:], strict=False))
            raise TypeError(
                f"Batch size was passed into `{function.__name__}` as the first argument when "
                f"called. Remove this as the decorator already does so: "
                f"`{function.__name__}({shown})`"
            )
        while True:
            if batch_size == 0:
                raise RuntimeError("No executable batch size found, reached zero.")
            try:
                return function(batch_size, *args, **kwargs)
            except Exception as error:
                if not should_reduce_batch_size(error):
                    raise
            # Outside the handler: its traceback would keep the failed step's tensors alive.
            clear_device_cache(garbage_collection=True)
            batch_size = smaller()

    return call


__getattr__ = fallback(__name__)
