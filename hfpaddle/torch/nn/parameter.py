"""``torch.nn.Parameter`` is Paddle's parameter class; it shares the memory of its tensor."""

from __future__ import annotations

from typing import Any

import paddle
from paddle.base.framework import EagerParamBase

from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.torch import _device
from hfpaddle.torch._dtypes import as_dtype

Parameter = EagerParamBase


def empty_parameter(shape: Any, device: Any = None, dtype: Any = None) -> paddle.Tensor:
    """A trainable parameter whose values someone must fill."""
    if _device.is_meta(device):
        raise MissingFeatureError(
            "a module on device='meta' has no implementation here. Load a model with "
            "from_pretrained, which allocates nothing twice, or build it on the CPU."
        )
    dtype = as_dtype(dtype) or paddle.get_default_dtype()
    place = _device.place_of(device)
    made = paddle.empty([int(s) for s in shape], dtype=dtype)
    made = made if made.place == place else made.to(place)
    return Parameter(made, requires_grad=True)


class Buffer:
    """``self.x = Buffer(tensor)`` is not carried over."""

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> paddle.Tensor:
        raise MissingFeatureError(
            "torch.nn.Buffer has no implementation here. Use register_buffer(name, tensor)."
        )


class UninitializedParameter:
    """Lazy modules are not carried over."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise MissingFeatureError(
            "lazy parameters have no implementation here. Give the layer its input size."
        )
