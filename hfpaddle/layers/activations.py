"""Activation functions under the names that configs use."""

from __future__ import annotations

import math
from collections.abc import Callable

import paddle
import paddle.nn.functional as F

from hfpaddle.core.errors import UnsupportedConfigError, nearest


def _gelu_tanh(x: paddle.Tensor) -> paddle.Tensor:
    return F.gelu(x, approximate=True)


def _gelu_new(x: paddle.Tensor) -> paddle.Tensor:
    return 0.5 * x * (1.0 + paddle.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _quick_gelu(x: paddle.Tensor) -> paddle.Tensor:
    return x * F.sigmoid(1.702 * x)


def _relu2(x: paddle.Tensor) -> paddle.Tensor:
    return F.relu(x).square()


ACTIVATIONS: dict[str, Callable[[paddle.Tensor], paddle.Tensor]] = {
    "gelu": F.gelu,
    "gelu_fast": _gelu_new,
    "gelu_new": _gelu_new,
    "gelu_python": F.gelu,
    "gelu_pytorch_tanh": _gelu_tanh,
    "leaky_relu": F.leaky_relu,
    "linear": lambda x: x,
    "mish": F.mish,
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "relu2": _relu2,
    "relu6": F.relu6,
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": paddle.tanh,
}


def activation(name: str) -> Callable[[paddle.Tensor], paddle.Tensor]:
    """Return the elementwise function called ``name`` in configs.

    Raises: UnsupportedConfigError naming the value and the nearest known one.
    """
    if name not in ACTIVATIONS:
        raise UnsupportedConfigError(
            f"activation {name!r} is not implemented{nearest(name, ACTIVATIONS)}. "
            f"Known: {sorted(ACTIVATIONS)}."
        )
    return ACTIVATIONS[name]


def activation_name(function: Callable[[paddle.Tensor], paddle.Tensor]) -> str | None:
    """Return the first name under which `activation` gives this function, or None."""
    return next((name for name, known in ACTIVATIONS.items() if known is function), None)
