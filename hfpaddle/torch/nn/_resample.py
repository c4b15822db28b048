"""Padding and resampling of ``torch.nn.functional``.

Shape letters: N batch, C channels, then positions. Resampling of one axis is a small matrix or
a list of indices, made in numpy from torch's rules; so every mode has gradients on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as P

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._half import lifted
from hfpaddle.torch.nn._conv import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

Tensor = paddle.Tensor

__all__ = [
    "affine_grid", "channel_shuffle", "grid_sample", "interpolate", "pad", "pixel_shuffle",
    "pixel_unshuffle", "upsample",
]  # fmt: skip

_NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None):
    """Add (or with negative numbers cut) items at the ends of the last axes.

    Args:
        pad: (before, after) of the last axis, then of the one before it, ...
        mode: "constant", "reflect", "replicate" or "circular".
        value: what "constant" fills with.
    """
    pads = [int(p) for p in pad]
    if len(pads) % 2 or len(pads) > 2 * input.ndim:
        raise RuntimeError(f"Padding length must be divisible by 2 and at most {2 * input.ndim}")
    ends = {input.ndim - 1 - i: (pads[2 * i], pads[2 * i + 1]) for i in range(len(pads) // 2)}
    if mode == "constant":
        return _constant_pad(input, ends, 0 if value is None else value)
    if mode not in _NUMPY_MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    out = input
    for axis, (before, after) in ends.items():
        out = _indexed_pad(out, axis, before, after, mode)
    return out


def _indexed_pad(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    size = x.shape[axis]
    limit = {"reflect": size - 1, "circular": size, "replicate": None}[mode]
    if limit is not None and max(before, after) > limit:
        raise RuntimeError(
            f"Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at dimension {axis} of input {list(x.shape)}"
        )
    order = np.pad(np.arange(size), (max(before, 0), max(after, 0)), mode=_NUMPY_MODES[mode])
    order = order[max(-before, 0) : len(order) - max(-after, 0)]
    return paddle.index_select(x, paddle.to_tensor(order, place=x.place), axis=axis)


def _constant_pad(x: Tensor, ends: dict[int, tuple[int, int]], value: float) -> Tensor:
    for axis, (before, after) in ends.items():
        if before < 0 or after < 0:
            size = x.shape[axis]
            x = paddle.slice(x, [axis], [max(-before, 0)], [size - max(-after, 0)])
        shape = list(x.shape)
        parts = [x]
        if before > 0:
            shape[axis] = before
            parts.insert(0, paddle.full(shape, value, dtype=x.dtype))
        if after > 0:
            shape[axis] = after
            parts.append(paddle.full(shape, value, dtype=x.dtype))
        x = paddle.concat(parts, axis=axis) if len(parts) > 1 else x
    return x


# Interpolation


def _sources(size: int, out: int, scale: float | None, align_corners: bool) -> np.ndarray:
    """Where each output position lies in the input, float32 as torch computes it."""
    position = np.arange(out, dtype=np.float32)
    if align_corners:
        step = np.float32((size - 1) / (out - 1)) if out > 1 else np.float32(0)
        return position * step
    step = np.float32(size / out if scale is None else 1.0 / scale)
    return step * (position + np.float32(0.5)) - np.float32(0.5)


def _nearest_indices(size: int, out: int, scale: float | None, exact: bool) -> np.ndarray:
    step = np.float32(size / out if scale is None else 1.0 / scale)
    position = np.arange(out, dtype=np.float32) + np.float32(0.5 if exact else 0.0)
    return np.minimum(np.floor(position * step).astype(np.int64), size - 1)


def _linear_matrix(size: int, out: int, scale: float | None, align_corners: bool) -> np.ndarray:
    source = np.maximum(_sources(size, out, scale, align_corners), 0)
    low = np.minimum(source.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = np.minimum(source - low, np.float32(1))
    matrix, rows = np.zeros((out, size), np.float64), np.arange(out)
    np.add.at(matrix, (rows, low), 1 - part.astype(np.float64))
    np.add.at(matrix, (rows, high), part)
    return matrix


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel of parameter ``a`` at ``distance``."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _cubic_matrix(size: int, out: int, scale: float | None, align_corners: bool) -> np.ndarray:
    source = _sources(size, out, scale, align_corners)
    base = np.floor(source)
    matrix, rows = np.zeros((out, size), np.float64), np.arange(out)
    for offset in (-1, 0, 1, 2):
        index = np.clip(base.astype(np.int64) + offset, 0, size - 1)
        np.add.at(matrix, (rows, index), _cubic((source - base).astype(np.float64) - offset, -0.75))
    return matrix


def _antialias_matrix(
    size: int, out: int, scale: float | None, align_corners: bool, cubic: bool
) -> np.ndarray:
    """Weights of a filter that widens as the image shrinks, as Pillow's."""
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        step = size / out if scale is None else 1.0 / scale
    support = (2.0 if cubic else 1.0) * max(step, 1.0)
    stretch = 1.0 / step if step >= 1.0 else 1.0
    matrix = np.zeros((out, size), np.float64)
    for row in range(out):
        centre = step * (row + 0.5)
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), size)
        distance = (np.arange(low, high) - centre + 0.5) * stretch
        weights = _cubic(distance, -0.5) if cubic else np.maximum(1 - np.abs(distance), 0.0)
        matrix[row, low:high] = weights / weights.sum()
    return matrix


_DIMS = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,),
    "bilinear": (2,), "bicubic": (2,), "trilinear": (3,),
}  # fmt: skip


def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Resize the positions of ``[N, C, ...]`` to ``size``, or by ``scale_factor``.

    Raises: ValueError or NotImplementedError where torch does.
    """
    dims = input.ndim - 2
    if mode not in _DIMS or dims not in _DIMS[mode]:
        raise NotImplementedError(
            f"Input Error: {input.ndim}D input and mode {mode!r} do not go together; the modes are "
            "nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact"
        )
    if mode in ("nearest", "nearest-exact", "area") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError("Anti-alias option is restricted to bilinear and bicubic modes")
    new, scales = _targets(input, dims, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        pools = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
        return pools[dims - 1](input, new)
    out = input
    for i in reversed(range(dims)):
        out = _resized(out, i + 2, new[i], scales[i], mode, bool(align_corners), antialias)
    return out


def _targets(x, dims, size, scale_factor, recompute) -> tuple[list[int], list[float | None]]:
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        new = [int(s) for s in size] if isinstance(size, Sequence) else [int(size)] * dims
        if len(new) != dims:
            raise ValueError(
                f"Input and output must have the same number of spatial dimensions, but got input "
                f"with {list(x.shape)} and output size of {new}."
            )
        return new, [None] * dims
    given = isinstance(scale_factor, Sequence)
    scales = [float(s) for s in scale_factor] if given else [float(scale_factor)] * dims
    new = [math.floor(float(n) * s) for n, s in zip(x.shape[2:], scales, strict=True)]
    return new, [None] * dims if recompute else list(scales)


def _resized(x, axis, out, scale, mode, align_corners, antialias) -> Tensor:
    size = x.shape[axis]
    if mode.startswith("nearest"):
        index = _nearest_indices(size, out, scale, mode == "nearest-exact")
        return paddle.index_select(x, paddle.to_tensor(index, place=x.place), axis=axis)
    if antialias:
        matrix = _antialias_matrix(size, out, scale, align_corners, mode == "bicubic")
    elif size == out and scale in (None, 1.0):
        return x
    else:
        make = _cubic_matrix if mode == "bicubic" else _linear_matrix
        matrix = make(size, out, scale, align_corners)
    return _along_axis(x, matrix, axis)


@lifted
def _along_axis(x: Tensor, matrix: np.ndarray, axis: int) -> Tensor:
    weights = paddle.to_tensor(matrix.astype("float32"), place=x.place)
    weights = weights if x.dtype is paddle.float32 else paddle.cast(weights, x.dtype)
    if axis == x.ndim - 1:
        return paddle.matmul(x, weights, transpose_y=True)
    if axis == x.ndim - 2:
        return paddle.matmul(weights, x)
    moved = paddle.moveaxis(x, axis, -1)
    return paddle.moveaxis(paddle.matmul(moved, weights, transpose_y=True), -1, axis)


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """The old name of :func:`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """``[..., C * r * r, H, W]`` to ``[..., C, H * r, W * r]``."""
    r, (*lead, channels, height, width) = upscale_factor, list(input.shape)
    if channels % (r * r):
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but {channels} is not divisible by {r * r}"
        )
    split = paddle.reshape(input, [-1, channels // (r * r), r, r, height, width])
    moved = paddle.transpose(split, [0, 1, 4, 2, 5, 3])
    return paddle.reshape(moved, [*lead, channels // (r * r), height * r, width * r])


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """``[..., C, H * r, W * r]`` to ``[..., C * r * r, H, W]``."""
    r, (*lead, channels, height, width) = downscale_factor, list(input.shape)
    split = paddle.reshape(input, [-1, channels, height // r, r, width // r, r])
    moved = paddle.transpose(split, [0, 1, 3, 5, 2, 4])
    return paddle.reshape(moved, [*lead, channels * r * r, height // r, width // r])


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the ``groups`` of channels of ``[N, C, ...]``."""
    n, channels, *rest = list(input.shape)
    split = paddle.reshape(input, [n, groups, channels // groups, *rest])
    return paddle.reshape(
        paddle.transpose(split, [0, 2, 1, *range(3, len(rest) + 3)]), list(input.shape)
    )


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """``[N, C, H, W]`` read at the positions ``grid`` ``[N, h, w, 2]``, in [-1, 1]."""
    if mode not in ("bilinear", "nearest"):
        raise UnsupportedArgumentError(
            f"grid_sample: mode={mode!r} has no implementation here. Use 'bilinear' or 'nearest'."
        )
    return lifted(P.grid_sample)(input, grid, mode, padding_mode, bool(align_corners))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Sampling positions for :func:`grid_sample` from affine matrices."""
    return P.affine_grid(theta, [int(s) for s in size], bool(align_corners))
