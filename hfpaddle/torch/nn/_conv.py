"""Convolutions and pooling of ``torch.nn.functional``.

Shape letters: N batch, C channels, then 1 to 3 positions. Inputs without N work too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paddle
import paddle.nn.functional as P

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._half import lifted

Tensor = paddle.Tensor

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "fold", "max_pool1d", "max_pool2d",
    "max_pool3d", "unfold",
]  # fmt: skip


def sizes(value: Any, dims: int) -> list[int]:
    """``value`` for each of ``dims`` axes."""
    if isinstance(value, Sequence):
        values = [int(v) for v in value]
        return values * dims if len(values) == 1 else values
    return [int(value)] * dims


def batched(function: Callable, x: Tensor, dims: int) -> Any:
    """``function(x)``, with a batch axis lent to inputs without one."""
    if x.ndim == dims + 2:
        return function(x)
    if x.ndim != dims + 1:
        raise RuntimeError(
            f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input, but got input of "
            f"size: {list(x.shape)}"
        )
    out = function(paddle.unsqueeze(x, 0))
    if isinstance(out, tuple):
        return tuple(paddle.squeeze(o, 0) for o in out)
    return paddle.squeeze(out, 0)


_CONV = {1: lifted(P.conv1d), 2: lifted(P.conv2d), 3: lifted(P.conv3d)}
_TRANSPOSED = {
    1: lifted(P.conv1d_transpose),
    2: lifted(P.conv2d_transpose),
    3: lifted(P.conv3d_transpose),
}


def _conv(dims, x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    stride, dilation = sizes(stride, dims), sizes(dilation, dims)
    if isinstance(padding, str):
        x, padding = _named_padding(dims, x, weight, stride, padding, dilation)
    padding = sizes(padding, dims)

    def run(value: Tensor) -> Tensor:
        if value.shape[1] != weight.shape[1] * groups:
            raise RuntimeError(
                f"Given groups={groups}, weight of size {list(weight.shape)}, expected input"
                f"{list(value.shape)} to have {weight.shape[1] * groups} channels, but got "
                f"{value.shape[1]} channels instead"
            )
        return _CONV[dims](value, weight, bias, stride, padding, dilation, groups)

    return batched(run, x, dims)


def _named_padding(dims, x, weight, stride, padding, dilation) -> tuple[Tensor, list[int]]:
    if padding == "valid":
        return x, [0] * dims
    if padding != "same":
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if stride != [1] * dims:
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if all(t % 2 == 0 for t in total):
        return x, [t // 2 for t in total]
    pads = [side for t in reversed(total) for side in (t // 2, t - t // 2)]
    from hfpaddle.torch.nn._resample import pad

    return pad(x, pads), [0] * dims


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """``[N, C, L]`` with ``weight`` ``[out, C / groups, k]``."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """``[N, C, H, W]`` with ``weight`` ``[out, C / groups, kh, kw]``."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """``[N, C, D, H, W]`` with ``weight`` ``[out, C / groups, kd, kh, kw]``."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(dims, x, weight, bias, stride, padding, output_padding, groups, dilation):
    def run(value: Tensor) -> Tensor:
        return _TRANSPOSED[dims](
            value, weight, bias, stride=sizes(stride, dims), padding=sizes(padding, dims),
            output_padding=sizes(output_padding, dims), groups=groups,
            dilation=sizes(dilation, dims),
        )  # fmt: skip

    return batched(run, x, dims)


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of :func:`conv1d`; ``weight`` is ``[in, out / groups, k]``."""
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of :func:`conv2d`; ``weight`` is ``[in, out / groups, kh, kw]``."""
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of :func:`conv3d`; ``weight`` is ``[in, out / groups, kd, kh, kw]``."""
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


# Pooling


def _pooled(name: str, dims: int) -> Callable:
    return lifted(getattr(P, f"{name}{dims}d"))


def _max_pool(dims, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    if sizes(dilation, dims) != [1] * dims:
        raise UnsupportedArgumentError(
            f"max_pool{dims}d: dilation={dilation} has no implementation here; only 1 does."
        )
    kernel = sizes(kernel_size, dims)
    stride = kernel if stride is None or stride == [] else sizes(stride, dims)
    run = _pooled("max_pool", dims)

    def call(value: Tensor) -> Any:
        out = run(value, kernel, stride, sizes(padding, dims), return_indices, ceil_mode)
        return (out[0], paddle.cast(out[1], "int64")) if return_indices else out

    return batched(call, x, dims)


def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Largest item of each window."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Largest item of each window."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Largest item of each window."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """Mean of each window."""
    kernel = sizes(kernel_size, 1)
    stride = kernel if stride is None else sizes(stride, 1)
    run = _pooled("avg_pool", 1)
    padding, exclusive = sizes(padding, 1), not count_include_pad
    return batched(lambda x: run(x, kernel, stride, padding, exclusive, ceil_mode), input, 1)


def _avg_pool(dims, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
    kernel = sizes(kernel_size, dims)
    stride = kernel if stride is None or stride == [] else sizes(stride, dims)
    run = _pooled("avg_pool", dims)
    padding, exclusive = sizes(padding, dims), not count_include_pad
    return batched(
        lambda value: run(value, kernel, stride, padding, ceil_mode, exclusive, divisor), x, dims
    )


def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Mean of each window."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Mean of each window."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _adaptive(name: str, dims: int, x: Tensor, output_size: Any) -> Tensor:
    run = _pooled(f"adaptive_{name}_pool", dims)
    if isinstance(output_size, Sequence):
        given = list(output_size)
    else:
        given = [output_size] * dims

    def call(value: Tensor) -> Tensor:
        size = [v if o is None else int(o) for o, v in zip(given, value.shape[2:], strict=True)]
        return run(value, size[0] if dims == 1 else size)

    return batched(call, x, dims)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over windows that give ``output_size`` positions."""
    return _adaptive("avg", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over windows that give ``output_size`` positions; None keeps a size."""
    return _adaptive("avg", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over windows that give ``output_size`` positions; None keeps a size."""
    return _adaptive("avg", 3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """Largest item of windows that give ``output_size`` positions."""
    _no_indices(return_indices)
    return _adaptive("max", 1, input, output_size)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """Largest item of windows that give ``output_size`` positions."""
    _no_indices(return_indices)
    return _adaptive("max", 2, input, output_size)


def _no_indices(return_indices: bool) -> None:
    if return_indices:
        raise UnsupportedArgumentError(
            "adaptive_max_pool: return_indices=True has no implementation here."
        )


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """``[N, C, H, W]`` to its windows ``[N, C * kh * kw, L]``."""
    kernel, dilation = sizes(kernel_size, 2), sizes(dilation, 2)
    run = lifted(P.unfold)
    padding, stride = sizes(padding, 2), sizes(stride, 2)
    return batched(lambda x: run(x, kernel, stride, padding, dilation), input, 2)


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Tensor:  # fmt: skip
    """Sum of the windows ``[N, C * kh * kw, L]`` at their places in ``[N, C, *output_size]``."""
    run = lifted(P.fold)
    size, kernel, stride = sizes(output_size, 2), sizes(kernel_size, 2), sizes(stride, 2)
    padding, dilation = sizes(padding, 2), sizes(dilation, 2)
    return batched(lambda x: run(x, size, kernel, stride, padding, dilation), input, 1)
