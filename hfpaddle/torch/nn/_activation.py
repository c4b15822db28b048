"""Activations of ``torch.nn.functional``. Each takes and returns a tensor of any shape."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as P
from paddle import _C_ops

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch import _sums
from hfpaddle.torch._dtypes import NAMES, as_dtype
from hfpaddle.torch._half import lifted
from hfpaddle.torch._random import stream

Tensor = paddle.Tensor

__all__ = [
    "alpha_dropout", "celu", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "gelu", "glu",
    "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
    "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6", "relu_", "rrelu", "selu",
    "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "tanhshrink", "threshold",
]  # fmt: skip


def _applied(function: Callable, x: Tensor, inplace: bool) -> Tensor:
    """``function(x)``; ``inplace`` writes it into ``x``, gradients included."""
    if not inplace:
        return function(x)
    # The function reads a copy, so that its gradient does not see the overwritten values.
    recording = paddle.is_grad_enabled() and not x.stop_gradient
    _C_ops.assign_out_(function(paddle.assign(x) if recording else x), x)
    return x


_relu, _relu6, _silu, _mish = lifted(P.relu), lifted(P.relu6), lifted(P.silu), lifted(P.mish)
_sigmoid, _tanh = lifted(P.sigmoid), lifted(paddle.tanh)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return _applied(_relu, input, inplace)


def relu_(input: Tensor) -> Tensor:
    """:func:`relu`, in place."""
    return relu(input, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return _applied(_relu6, input, inplace)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return _applied(_silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return _applied(_mish, input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), or its tanh form.

    Raises: RuntimeError for another ``approximate``.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _gelu(input, approximate == "tanh")


_gelu = lifted(lambda x, tanh: P.gelu(x, approximate=tanh))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return _tanh(input)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x, or alpha * (exp(x) - 1) below 0."""
    return _applied(lifted(lambda x: P.elu(x, alpha)), input, inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """ELU with the constants of self-normalising networks."""
    return _applied(lifted(P.selu), input, inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    return _applied(lifted(lambda x: P.celu(x, alpha)), input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x, or negative_slope * x below 0."""
    return _applied(lifted(lambda x: P.leaky_relu(x, negative_slope)), input, inplace)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Leaky ReLU whose slopes are learnt: one, or one a channel (axis 1)."""
    if math.prod(weight.shape) > 1:
        weight = paddle.reshape(weight, [1, -1] + [1] * (input.ndim - 2))
    return paddle.where(input >= 0, input, paddle.multiply(input, weight))


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x cut to [min_val, max_val]."""
    return _applied(lifted(lambda x: P.hardtanh(x, min_val, max_val)), input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6."""
    return _applied(lifted(P.hardswish), input, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return _applied(lifted(lambda x: P.relu6(x + 3.0) / 6.0), input, inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x, or 0 within lambd of 0."""
    return lifted(P.hardshrink)(input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd."""
    return lifted(P.softshrink)(input, lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return lifted(P.tanhshrink)(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, and x where beta * x is above ``threshold``."""
    return lifted(P.softplus)(input, beta, threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return lifted(P.softsign)(input)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return lifted(P.log_sigmoid)(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above ``threshold``, else ``value``."""
    return _applied(
        lambda x: paddle.where(x > threshold, x, paddle.full_like(x, value)), input, inplace
    )


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """First half of ``dim`` times sigmoid of the second."""
    if input.shape[dim] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    first, second = paddle.chunk(input, 2, axis=dim)
    return paddle.multiply(first, _sigmoid(second))


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None):
    """Softmax over ``dim``, computed and returned in ``dtype`` if given."""
    dim = _implicit_dim("softmax", input.ndim) if dim is None else dim
    input = input if dtype is None else paddle.cast(input, as_dtype(dtype))
    return _sums.softmax(input, dim) if input.ndim else paddle.ones_like(input)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None):
    """Softmax of the negated input."""
    dim = _implicit_dim("softmin", input.ndim) if dim is None else dim
    return softmax(paddle.neg(input), dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None):
    """Logarithm of :func:`softmax`."""
    dim = _implicit_dim("log_softmax", input.ndim) if dim is None else dim
    input = input if dtype is None else paddle.cast(input, as_dtype(dtype))
    return _sums.log_softmax(input, dim) if input.ndim else paddle.zeros_like(input)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Softmax of ``(logits + Gumbel noise) / tau``; ``hard`` gives one-hot with that gradient."""
    name = "float64" if logits.dtype is paddle.float64 else "float32"
    drawn = stream(None).exponential(tuple(logits.shape), dtype=name)
    noise = paddle.cast(paddle.to_tensor(drawn, place=logits.place), logits.dtype)
    soft = softmax((logits - paddle.log(noise)) / tau, dim)
    if not hard:
        return soft
    index = paddle.argmax(soft, axis=dim, keepdim=True)
    one_hot = paddle.put_along_axis(
        paddle.zeros_like(soft.detach()), index, paddle.ones([1], soft.dtype), axis=dim
    )
    return one_hot - soft.detach() + soft


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
    inplace: bool = False,
) -> Tensor:  # fmt: skip
    """Leaky ReLU of the mean slope; the random slopes of training are not reproduced."""
    if training:
        raise UnsupportedArgumentError(
            "rrelu(training=True): torch's random slopes are not reproduced. Use leaky_relu."
        )
    return leaky_relu(input, (lower + upper) / 2, inplace)


# Dropout: the mask is torch's for the same seed on the CPU; other devices draw their own.


def _dropped(x: Tensor, p: float, shape: list[int], training: bool, inplace: bool) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0 or 0 in shape:
        return x
    return _applied(lambda value: paddle.multiply(value, _noise(value, p, shape)), x, inplace)


def _noise(x: Tensor, p: float, shape: list[int]) -> Tensor:
    """0, or 1 / (1 - p), for each item."""
    if not x.place.is_cpu_place():
        return P.dropout(paddle.ones(shape, x.dtype), p, training=True)
    if p == 1.0:
        return paddle.zeros(shape, x.dtype)
    keep = stream(None).dropout_mask(tuple(shape), p)
    wide = "float64" if x.dtype is paddle.float64 else "float32"
    noise = keep.astype(wide) / np.dtype(wide).type(1 - p)
    noise = paddle.to_tensor(noise, place=x.place)
    return noise if NAMES[x.dtype] == wide else paddle.cast(noise, x.dtype)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero items with probability ``p`` and divide the rest by ``1 - p``."""
    return _dropped(input, p, list(input.shape), training, inplace)


def _channels(x: Tensor, dims: int) -> list[int]:
    lead = x.ndim - dims
    return [size if axis < lead else 1 for axis, size in enumerate(x.shape)]


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Zero whole channels of ``[N, C, L]`` or ``[C, L]``."""
    return _dropped(input, p, _channels(input, 1), training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Zero whole channels of ``[N, C, H, W]`` or ``[N, C, L]``."""
    return _dropped(input, p, _channels(input, input.ndim - 2), training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Zero whole channels of ``[N, C, D, H, W]`` or ``[C, D, H, W]``."""
    return _dropped(input, p, _channels(input, 3), training, inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False):
    """Dropout that keeps mean and variance of a SELU network."""
    if not training or p == 0.0:
        return input
    if not 0.0 < p < 1.0 or not input.place.is_cpu_place():
        raise UnsupportedArgumentError("alpha_dropout: needs 0 < p < 1 and a CPU tensor here.")
    alpha = 1.7580993408473766
    scale = 1.0 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    keep = stream(None).dropout_mask(tuple(input.shape), p)
    keep = paddle.cast(paddle.to_tensor(keep, place=input.place), input.dtype)
    shift = (keep - 1.0) * (alpha * scale) + alpha * scale * p
    return _applied(lambda x: paddle.multiply(x, keep * scale) + shift, input, inplace)
