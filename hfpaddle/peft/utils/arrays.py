"""Parameters of adapters: how they are drawn, written and frozen.

Draws come from torch's own stream (hfpaddle/core/rng.py), call for call in the order in which peft
makes them: a seeded script starts from the same adapter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle import backends
from hfpaddle.core import rng
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.parameter import assign, empty_parameters, parameter

FLOATS = (paddle.float16, paddle.bfloat16, paddle.float32, paddle.float64)


def kaiming_uniform(shape: Any, a: float = math.sqrt(5)) -> np.ndarray:
    """Draw as ``torch.nn.init.kaiming_uniform_(weight, a)`` for a weight ``[out, in, *kernel]``."""
    fan_in = int(np.prod(shape[1:]))
    gain = math.sqrt(2.0 / (1 + a * a))
    bound = math.sqrt(3.0) * (gain / math.sqrt(fan_in))
    return rng.default_generator.uniform(tuple(shape), -bound, bound)


def uniform(shape: Any, low: float, high: float) -> np.ndarray:
    """Draw as ``torch.nn.init.uniform_``."""
    return rng.default_generator.uniform(tuple(shape), low, high)


def normal(shape: Any, std: float = 1.0) -> np.ndarray:
    """Draw as ``torch.randn`` times ``std``, or ``torch.nn.init.normal_``."""
    return rng.default_generator.normal(tuple(shape), 0.0, std)


def new_parameter(values: Any, like: paddle.Tensor | None = None) -> paddle.Tensor:
    """A trainable parameter that holds ``values``, on the device and in the dtype of ``like``."""
    tensor = values if isinstance(values, paddle.Tensor) else paddle.to_tensor(np.asarray(values))
    with paddle.no_grad():
        tensor = tensor.detach().clone()
        if like is not None:
            dtype = like.dtype if like.dtype in FLOATS else tensor.dtype
            tensor = tensor.astype(dtype).to(like.place)
    with empty_parameters():
        made = parameter(tensor.shape)
    assign(made, tensor)
    return made


def write(param: paddle.Tensor, values: Any) -> None:
    """Replace what ``param`` holds by ``values`` of its shape; dtype and device stay."""
    with paddle.no_grad():
        tensor = values if isinstance(values, paddle.Tensor) else paddle.to_tensor(values)
        if list(tensor.shape) != list(param.shape):
            raise ValueError(f"cannot write {list(tensor.shape)} into {list(param.shape)}")
        # A copy: the new memory must be no other tensor's.
        assign(param, tensor.detach().astype(param.dtype).to(param.place).clone())


def made_linear(in_features: int, out_features: int, bias: bool = False) -> Linear:
    """A linear layer whose values are drawn as ``torch.nn.Linear`` draws them."""
    with empty_parameters():
        layer = Linear(in_features, out_features, bias=bias)
    assign(layer.weight, paddle.to_tensor(kaiming_uniform([out_features, in_features])))
    if bias:
        bound = 1 / math.sqrt(in_features)
        assign(layer.bias, paddle.to_tensor(uniform([out_features], -bound, bound)))
    return layer


def compute_dtype(tensor: paddle.Tensor) -> Any:
    """The dtype in which the device of ``tensor`` computes what is stored as ``tensor`` is."""
    return backends.compute_dtype(tensor.dtype, tensor.place)


def set_requires_grad(layer: Any, wanted: bool) -> None:
    """Freeze (or not) a parameter, or those of a layer."""
    parameters = [layer] if isinstance(layer, paddle.Tensor) else layer.parameters()
    for param in parameters:
        if param.is_leaf:
            param.stop_gradient = not wanted


def move_like(item: Any, like: paddle.Tensor) -> None:
    """Give a parameter, or those of a layer, the device and the floating dtype of ``like``."""
    tensors = [item] if isinstance(item, paddle.Tensor) else [*item.parameters(), *item.buffers()]
    with paddle.no_grad():
        for tensor in tensors:
            new = tensor.detach()
            if like.dtype in FLOATS and tensor.dtype in FLOATS and tensor.dtype != like.dtype:
                new = new.astype(like.dtype)
            if new.place != like.place:
                new = new.to(like.place)
            if new.dtype != tensor.dtype or new.place != tensor.place:
                assign(tensor, new)


class ParameterDict(nn.Layer):
    """Parameters by name; their names in a state dict are the keys."""

    def __getitem__(self, key: str) -> paddle.Tensor:
        return self._parameters[key]

    def __setitem__(self, key: str, value: paddle.Tensor) -> None:
        self._parameters[key] = value

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Any:
        return iter(self._parameters)

    def keys(self) -> Any:
        return self._parameters.keys()

    def values(self) -> Any:
        return self._parameters.values()

    def items(self) -> Any:
        return self._parameters.items()


class BufferDict(nn.Layer):
    """Tensors by name that are not trained. ``persistent`` ones are in the state dict."""

    def __init__(self, persistent: bool = False) -> None:
        super().__init__()
        self.persistent = persistent

    def __getitem__(self, key: str) -> paddle.Tensor:
        return self._buffers[key]

    def __setitem__(self, key: str, value: paddle.Tensor) -> None:
        self.register_buffer(key, value, persistable=self.persistent)

    def __delitem__(self, key: str) -> None:
        del self._buffers[key]

    def __contains__(self, key: object) -> bool:
        return key in self._buffers

    def __len__(self) -> int:
        return len(self._buffers)

    def __iter__(self) -> Any:
        return iter(self._buffers)

    def keys(self) -> Any:
        return self._buffers.keys()

    def values(self) -> Any:
        return self._buffers.values()

    def items(self) -> Any:
        return self._buffers.items()
