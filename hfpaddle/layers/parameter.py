"""Parameters that cost nothing until they are filled.

A parameter is created without memory. `assign` gives it a tensor without copying; that is how the
loader hands over memory-mapped weights. Outside `empty_parameters` a layer fills its own at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
import paddle
from paddle.base.framework import EagerParamBase

from hfpaddle.core import rng
from hfpaddle.core.rng_math import round_to

_empty: ContextVar[bool] = ContextVar("empty", default=False)
_drawn_as: ContextVar[str] = ContextVar("drawn_as", default="float32")


@contextlib.contextmanager
def empty_parameters() -> Iterator[None]:
    """Within it, layers leave their parameters without memory; someone must fill them."""
    token = _empty.set(True)
    try:
        yield
    finally:
        _empty.reset(token)


@contextlib.contextmanager
def drawn_as(dtype: str | None) -> Iterator[None]:
    """Within it, normal values are those that torch draws for parameters of this dtype.

    Half types take fewer words of the stream for a last partial block of 16. Other dtypes than
    these, None too, draw as float32.
    """
    token = _drawn_as.set(dtype if dtype in ("float16", "bfloat16") else "float32")
    try:
        yield
    finally:
        _drawn_as.reset(token)


def drawing_dtype() -> str:
    """Return the dtype that values are drawn as."""
    return _drawn_as.get()


def assign(param: paddle.Tensor, tensor: paddle.Tensor) -> None:
    """Let ``param`` share ``tensor``'s memory and take its dtype; no copy."""
    tensor._share_buffer_to(param)


def initialized(param: paddle.Tensor) -> bool:
    """Tell whether ``param`` has memory."""
    return param._is_initialized()


def parameter(
    shape: list[int] | tuple[int, ...], init: Callable[[list[int]], np.ndarray] | float = 0.0
) -> paddle.Tensor:
    """Create a trainable float parameter of ``shape``.

    Args:
        shape: sizes.
        init: a constant, or a function of the shape that gives a float32 array; used at once
            unless `empty_parameters` is active.
    """
    param = EagerParamBase(shape=list(shape), dtype=paddle.get_default_dtype())
    if not _empty.get():
        fill(param, init)
    return param


def fill(param: paddle.Tensor, init: Callable[[list[int]], np.ndarray] | float) -> None:
    """Give ``param`` memory on the current device and write ``init`` into it."""
    shape = list(param.shape)
    if callable(init):
        value = paddle.to_tensor(np.asarray(init(shape), dtype="float32")).astype(param.dtype)
    else:
        value = paddle.full(shape, init, dtype=param.dtype)
    assign(param, value)


def normal(std: float) -> Callable[[list[int]], np.ndarray]:
    """An initialiser that draws from the seeded stream that torch would use."""
    return lambda shape: rng.default_generator.normal(tuple(shape), 0.0, std, drawing_dtype())


def truncated_normal(std: float, cutoff: float) -> Callable[[list[int]], np.ndarray]:
    """An initialiser that draws normally within ``cutoff`` standard deviations.

    Values beyond are drawn again, all of the tensor at a time, as torch does.
    """

    def draw(shape: list[int]) -> np.ndarray:
        limit, dtype = np.float32(cutoff * std), drawing_dtype()
        if dtype != "float32":
            limit = round_to(np.array([limit]), dtype)[0]
        values = normal(std)(shape)
        while (beyond := np.abs(values) > limit).any():
            values = np.where(beyond, normal(std)(shape), values)
        return values

    return draw


def in_order(layer: Any, *names: str) -> Any:
    """Return ``layer`` with these sublayers last, in this order: new weights are drawn in it."""
    for name in names:
        layer._sub_layers[name] = layer._sub_layers.pop(name)
    return layer


def redrawn(layer: Any, **stds: float) -> Any:
    """Return ``layer``, which draws these sublayers' weights anew after all of its sublayers.

    Args:
        stds: the standard deviation of each.
    """
    for name, std in stds.items():
        getattr(layer, name).init_std = std
    layer.redraws = (*getattr(layer, "redraws", ()), *stds)
    return layer
