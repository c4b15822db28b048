"""``torch.nn.init``: fill a tensor in place, from torch's own random stream, and return it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import paddle
from paddle import _C_ops

from hfpaddle.torch._dtypes import NAMES
from hfpaddle.torch._random import stream

Tensor = paddle.Tensor

_LINEAR = ("linear", "identity", "sigmoid", *(f"conv{n}d" for n in (1, 2, 3)))
_LINEAR += tuple(f"conv_transpose{n}d" for n in (1, 2, 3))


def write(tensor: Tensor, values: Any) -> Tensor:
    """Put a numpy array or a number into the memory of ``tensor``, unseen by autograd."""
    if getattr(tensor, "_is_meta", False):
        return tensor
    with paddle.no_grad():
        if isinstance(values, np.ndarray):
            made = paddle.to_tensor(np.ascontiguousarray(values), place=tensor.place)
            made = made if made.dtype is tensor.dtype else paddle.cast(made, tensor.dtype)
            made = paddle.reshape(made, list(tensor.shape))
        else:
            made = paddle.full(list(tensor.shape), values, dtype=tensor.dtype)
        _C_ops.assign_out_(made, tensor)
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through ``nonlinearity``; ``param`` is leaky_relu's slope.

    Raises: ValueError for a name that torch does not know.
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, (int, float, type(None))):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs of one unit of an ``[out, in, *kernel]`` weight."""
    shape = list(tensor.shape)
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    fans = dict(zip(("fan_in", "fan_out"), _calculate_fan_in_and_fan_out(tensor), strict=True))
    if mode.lower() not in fans:
        raise ValueError(f"Mode {mode} not supported, please use one of {list(fans)}")
    return fans[mode.lower()]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in [a, b)."""
    if getattr(tensor, "_is_meta", False):
        return tensor
    shape, name = tuple(tensor.shape), NAMES[tensor.dtype]
    return write(tensor, stream(generator).uniform(shape, float(a), float(b), name))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with ``mean`` and ``std``."""
    if getattr(tensor, "_is_meta", False):
        return tensor
    shape, name = tuple(tensor.shape), NAMES[tensor.dtype]
    return write(tensor, stream(generator).normal(shape, float(mean), float(std), name))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """Normal within [a, b], by rejection as torch 2.13 does: the same draws in the same order."""
    if getattr(tensor, "_is_meta", False):
        return tensor
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    source, shape, name = stream(generator), tuple(tensor.shape), NAMES[tensor.dtype]
    inside = _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std)
    draw = _by_normals if inside > 0.3 else _by_uniforms
    return write(tensor, draw(source, shape, name, float(mean), float(std), a, b))


def _normal_cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def _by_normals(source, shape, name, mean, std, a, b) -> np.ndarray:
    values = source.normal(shape, mean, std, name)
    low, high = values.dtype.type(a), values.dtype.type(b)
    while True:
        outside = (values < low) | (values > high)
        if not outside.any():
            return values
        values = np.where(outside, source.normal(shape, mean, std, name), values)


def _by_uniforms(source, shape, name, mean, std, a, b) -> np.ndarray:
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2

    def rejected(candidates: np.ndarray) -> np.ndarray:
        kind = candidates.dtype.type
        scaled = (candidates - kind(mean)) / kind(std)
        log_density = scaled * scaled * kind(-0.5) - kind(peak)
        with np.errstate(divide="ignore"):
            return np.log(source.uniform(shape, dtype=name)) > log_density

    values = source.uniform(shape, float(a), float(b), name)
    pending = rejected(values)
    while pending.any():
        candidates = source.uniform(shape, float(a), float(b), name)
        values = np.where(pending, candidates, values)
        pending &= rejected(candidates)
    return values


def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere."""
    return write(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return write(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return write(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return write(tensor, np.eye(*tensor.shape, dtype="float32"))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The convolution weight ``[out, in, *kernel]`` that passes its input through."""
    shape = list(tensor.shape)
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values, each = np.zeros(shape, "float32"), shape[0] // groups
    centre = tuple(size // 2 for size in shape[2:])
    for group in range(groups):
        for d in range(min(each, shape[1])):
            values[(group * each + d, d, *centre)] = 1
    return write(tensor, values)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Glorot and Bengio (2010), uniform."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Glorot and Bengio (2010), normal."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """He et al. (2015), uniform; ``a`` is the slope of leaky_relu."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    bound = math.sqrt(3.0) * (calculate_gain(nonlinearity, a) / math.sqrt(fan))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """He et al. (2015), normal."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Rows (or columns) of length ``gain`` at right angles (Saxe et al., 2013)."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    shape = list(tensor.shape)
    if 0 in shape:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    name = "float64" if tensor.dtype is paddle.float64 else "float32"
    drawn = stream(generator).normal((rows, columns), dtype=name)
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.sign(np.diag(r))
    return write(tensor, (q.T if rows < columns else q) * q.dtype.type(gain))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with a share ``sparsity`` of each column zero."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    values = stream(generator).normal((rows, columns), 0.0, float(std), NAMES[tensor.dtype])
    for column in range(columns):
        order = stream(None).randperm(rows)  # torch takes these from the default generator
        values[order[: math.ceil(sparsity * rows)], column] = 0
    return write(tensor, values)


def _without_underscore(function):
    def call(*args, **kwargs):
        warnings.warn(
            f"`nn.init.{function.__name__[:-1]}` is now deprecated in favor of "
            f"`nn.init.{function.__name__}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    call.__name__ = function.__name__[:-1]
    return call


uniform = _without_underscore(uniform_)
normal = _without_underscore(normal_)
constant = _without_underscore(constant_)
eye = _without_underscore(eye_)
dirac = _without_underscore(dirac_)
xavier_uniform = _without_underscore(xavier_uniform_)
xavier_normal = _without_underscore(xavier_normal_)
kaiming_uniform = _without_underscore(kaiming_uniform_)
kaiming_normal = _without_underscore(kaiming_normal_)
orthogonal = _without_underscore(orthogonal_)
sparse = _without_underscore(sparse_)
