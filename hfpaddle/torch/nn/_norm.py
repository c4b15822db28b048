"""Linear maps, embeddings and norms of ``torch.nn.functional``.

Shape letters: N batch, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as P
from paddle import _C_ops

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch import _sums
from hfpaddle.torch._dtypes import FLOATING, HALVES
from hfpaddle.torch._half import lifted
from hfpaddle.torch._index import check_index

Tensor = paddle.Tensor

__all__ = [
    "batch_norm", "bilinear", "embedding", "embedding_bag", "group_norm", "instance_norm",
    "layer_norm", "linear", "local_response_norm", "normalize", "one_hot", "rms_norm",
]  # fmt: skip


@lifted
def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = paddle.matmul(x, weight, transpose_y=True)
    return out if bias is None else paddle.add(out, bias)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``; ``weight`` is ``[out, in]``.

    Raises: RuntimeError for operands of different dtypes or sizes that do not meet, as torch.
    """
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {input.dtype} and {weight.dtype}"
        )
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({list(input.shape)} and "
            f"{list(weight.shape)[::-1]})"
        )
    return _linear(input, weight, bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x1 @ W[k] @ x2`` for each output k; ``weight`` is ``[out, in1, in2]``."""
    out = paddle.einsum("...i,kij,...j->...k", input1, weight, input2)
    return out if bias is None else paddle.add(out, bias)


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Rows ``input`` of ``weight`` ``[V, H]``; row ``padding_idx`` gets no gradient."""
    if max_norm is not None or scale_grad_by_freq:
        raise UnsupportedArgumentError(
            f"embedding: max_norm={max_norm} and scale_grad_by_freq={scale_grad_by_freq} have no "
            "implementation here. Leave them out."
        )
    check_index(input, weight.shape[0])
    out = P.embedding(input, weight)
    if padding_idx is None or out.stop_gradient:
        return out
    padding_idx = padding_idx if padding_idx >= 0 else weight.shape[0] + padding_idx
    # Paddle would return zeros for the row; torch returns it and stops its gradient alone.
    pad = paddle.unsqueeze(paddle.equal(input, paddle.full([], padding_idx, input.dtype)), -1)
    return paddle.where(pad, out.detach(), out)


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """Rows of ``weight`` ``[V, H]`` put together bag by bag: ``[bags, H]``; empty bags are 0.

    Args:
        input: ``[bags, n]``, or ``[n]`` with ``offsets`` ``[bags]`` where each bag begins.
        mode: "sum", "mean" or "max"; ``per_sample_weights`` only with "sum".
        padding_idx: rows that do not count.
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError("embedding_bag: per_sample_weights is only for mode='sum'")
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None")
        bags, each = input.shape
        bag = paddle.repeat_interleave(paddle.arange(bags), each)
    else:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        starts = [int(o) for o in offsets.tolist()]
        starts = starts[:-1] if include_last_offset else starts
        bags, counts = len(starts), np.diff([*starts, input.shape[0]])
        bag = paddle.to_tensor(np.repeat(np.arange(bags), counts), dtype="int64")
    index = paddle.reshape(input, [-1])
    rows = embedding(index, weight, None, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = paddle.multiply(rows, paddle.reshape(per_sample_weights, [-1, 1]))
    if padding_idx is not None:
        padding_idx %= weight.shape[0]
        keep = paddle.nonzero(paddle.not_equal(index, paddle.full([], padding_idx, index.dtype)))
        keep = paddle.reshape(keep, [-1])
        rows, bag = paddle.index_select(rows, keep), paddle.index_select(bag, keep)
    empty = paddle.zeros([bags, weight.shape[1]], rows.dtype)
    if 0 in rows.shape:
        return empty
    if mode == "max":
        spread = paddle.expand_as(paddle.unsqueeze(bag, 1), rows)
        return paddle.put_along_axis(
            empty, spread, rows, 0, "amax", include_self=False, broadcast=False
        )
    out = paddle.index_add(empty, bag, 0, rows)
    if mode == "sum":
        return out
    sizes = paddle.bincount(bag, minlength=bags)
    return paddle.divide(out, paddle.unsqueeze(paddle.clip(sizes, min=1), 1).astype(out.dtype))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 ``[..., num_classes]``; -1 takes the largest value plus one."""
    if num_classes == -1:
        if 0 in tensor.shape:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(paddle.max(tensor)) + 1
    empty = 0 in tensor.shape
    if not empty and not 0 <= int(paddle.min(tensor)) <= int(paddle.max(tensor)) < num_classes:
        raise RuntimeError("Class values must be non-negative and smaller than num_classes.")
    return paddle.cast(P.one_hot(paddle.cast(tensor, "int64"), num_classes), "int64")


@lifted
def _layer_norm(x, shape, weight, bias, eps):
    if x.ndim == len(shape):  # Paddle wants an axis that is not normalised
        return paddle.squeeze(_layer_norm(paddle.unsqueeze(x, 0), shape, weight, bias, eps), 0)
    if weight is not None and weight.stop_gradient and not x.stop_gradient:
        # Paddle 3.3.1 on the CPU takes a frozen weight for 1 in the gradient of `x`.
        weight = weight.detach()
        weight.stop_gradient = False
    return P.layer_norm(x, shape, weight=weight, bias=bias, epsilon=eps)


def _check_normalized(name: str, x: Tensor, shape: list[int]) -> None:
    if not shape or list(x.shape)[-len(shape) :] != shape:
        raise RuntimeError(
            f"{name}: normalized_shape={shape} expects input with shape [*, {shape}], but got "
            f"input of size {list(x.shape)}"
        )


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Mean 0 and variance 1 over the last axes, then scale and shift."""
    shape = list(normalized_shape)
    _check_normalized("layer_norm", input, shape)
    return _layer_norm(input, shape, weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:  # fmt: skip
    """Divide by the root mean square over the last axes, then scale.

    ``eps`` None is the machine epsilon of the dtype it is computed in. Half types are computed in
    float32, as torch does.
    """
    shape = list(normalized_shape)
    _check_normalized("rms_norm", input, shape)
    wide = paddle.cast(input, "float32") if input.dtype in HALVES else input
    if eps is None:
        eps = float(np.finfo(np.float64 if wide.dtype is paddle.float64 else np.float32).eps)
    axes = list(range(input.ndim - len(shape), input.ndim))
    mean_square = _sums.average(paddle.square(wide), axes, True)
    out = paddle.multiply(wide, paddle.rsqrt(mean_square + eps))
    if weight is not None:
        out = paddle.multiply(out, paddle.cast(weight, out.dtype))
    return paddle.cast(out, input.dtype)


def _per_channel(parameter: Tensor, ndim: int) -> Tensor:
    return paddle.reshape(parameter, [1, -1] + [1] * (ndim - 2))


@lifted
def _group_norm(x, groups, weight, bias, eps):
    shape = list(x.shape)
    rows = paddle.reshape(x, [shape[0] * groups, -1])
    out = paddle.reshape(P.layer_norm(rows, [rows.shape[1]], epsilon=eps), shape)
    if weight is not None:
        out = paddle.multiply(out, _per_channel(weight, x.ndim))
    return out if bias is None else paddle.add(out, _per_channel(bias, x.ndim))


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """``[N, C, ...]``: mean 0 and variance 1 over each group of channels and all positions."""
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but got {input.ndim}")
    if input.shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input.shape)} and num_groups={num_groups}"
        )
    return _group_norm(input, num_groups, weight, bias, eps)


@lifted
def _normalized(x, mean, var, weight, bias, eps):
    mean, scale = _per_channel(mean, x.ndim), paddle.rsqrt(_per_channel(var, x.ndim) + eps)
    if weight is not None:
        scale = paddle.multiply(scale, _per_channel(weight, x.ndim))
    out = paddle.multiply(paddle.subtract(x, mean), scale)
    return out if bias is None else paddle.add(out, _per_channel(bias, x.ndim))


def _track(running: Tensor | None, value: Tensor, momentum: float) -> None:
    if running is not None:
        with paddle.no_grad():
            value = paddle.cast(value.detach(), running.dtype)
            _C_ops.assign_out_(running * (1.0 - momentum) + value * momentum, running)


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """``[N, C, ...]``: mean 0 and variance 1 of each channel, over the batch when ``training``.

    The running values move by ``momentum`` towards the batch's (variance unbiased), as in torch;
    Paddle's own momentum is one minus it, and its variance the biased one.
    """
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: evaluation needs running_mean and running_var.")
        return _normalized(input, running_mean, running_var, weight, bias, eps)
    count = math.prod(input.shape) // input.shape[1]
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size "
            f"{list(input.shape)}"
        )
    axes = [axis for axis in range(input.ndim) if axis != 1]
    mean = _sums.average(input, axes)
    centred = paddle.subtract(input, _per_channel(mean, input.ndim))
    var = _sums.average(lifted(paddle.square)(centred), axes)
    _track(running_mean, mean, momentum)
    _track(running_var, var * (count / (count - 1)), momentum)
    return _normalized(input, mean, var, weight, bias, eps)


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """``[N, C, ...]``: mean 0 and variance 1 of each channel of each sample."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None:
        axes = list(range(2, input.ndim))
        mean = _sums.average(input, axes)
        var = lifted(_sums.spread)(input, axes, 1, False)
        _track(running_mean, paddle.mean(mean, axis=0), momentum)
        _track(running_var, paddle.mean(var, axis=0), momentum)
    return group_norm(input, input.shape[1], weight, bias, eps)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by a power of the mean square of the neighbouring channels."""
    return P.local_response_norm(input, size, alpha=alpha, beta=beta, k=k)


def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None
) -> Tensor:
    """Divide by the p-norm over ``dim``, at least ``eps``."""
    if p == 2 and input.dtype in FLOATING:
        length = lifted(_sums.length)(input, list(dim) if isinstance(dim, tuple) else dim, True)
    else:
        length = lifted(paddle.linalg.norm)(input, p=p, axis=dim, keepdim=True)
    result = paddle.divide(input, paddle.expand_as(paddle.clip(length, min=eps), input))
    return result if out is None else _C_ops.assign_out_(result, out)
