"""``torch.nn.utils``."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch.nn.utils import parametrize, rnn
from hfpaddle.torch.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from hfpaddle.torch.nn.utils.convert_parameters import (
    parameters_to_vector,
    vector_to_parameters,
)

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_",
    "get_total_norm", "parameters_to_vector", "parametrize", "rnn", "skip_init",
    "vector_to_parameters", "weight_norm",
]  # fmt: skip


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Learn length (``name_g``) and direction (``name_v``) of a weight apart, as torch's.

    The product is formed anew at each call of ``module``. The length has torch's shape.
    """
    from hfpaddle.torch.nn.parameter import Parameter

    weight = getattr(module, name)
    axes = [i for i in range(weight.ndim) if dim is None or i != dim % weight.ndim]

    def length(v: paddle.Tensor) -> paddle.Tensor:
        return paddle.sqrt(paddle.sum(paddle.square(v), axis=axes, keepdim=dim is not None))

    del module._parameters[name]
    with paddle.no_grad():
        module.register_parameter(f"{name}_g", Parameter(length(weight)))
        module.register_parameter(f"{name}_v", Parameter(paddle.assign(weight)))

    def join(layer: Any, args: Any) -> None:
        g, v = getattr(layer, f"{name}_g"), getattr(layer, f"{name}_v")
        object.__setattr__(layer, name, paddle.multiply(v, paddle.divide(g, length(v))))

    module.register_forward_pre_hook(join)
    join(module, None)
    return module


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """The module; its default values are drawn all the same."""
    return module_cls(*args, **kwargs)
