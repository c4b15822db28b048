"""Rotating, shearing, bending and blurring tensor images, on arrays ``[..., C, H, W]``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hfpaddle.core.rng_math import fma32
from hfpaddle.torchvision.transforms._tensor import Tensor, on_host

_F = np.float32


def inverse_matrix(
    center: Sequence[float],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
    fused: bool = False,
) -> list[float]:
    """Where an output position lies in the input: six numbers, rows [x, y, 1].

    The transform turns by ``angle`` degrees about ``center``, shears (degrees in x and y), scales
    and moves. ``fused`` sums in the order of transforms.v2.
    """
    turn, sx, sy = (math.radians(v) for v in (angle, *shear))
    (cx, cy), (tx, ty) = center, translate
    a = math.cos(turn - sy) / math.cos(sy)
    if fused:
        b = -(a * math.tan(sx) + math.sin(turn))
        c = math.sin(turn - sy) / math.cos(sy)
        d = math.cos(turn) - c * math.tan(sx)
        matrix = [d / scale, -b / scale, 0.0, -c / scale, a / scale, 0.0]
        matrix[2] = cx - matrix[0] * (cx + tx) - matrix[1] * (cy + ty)
        matrix[5] = cy - matrix[3] * (cx + tx) - matrix[4] * (cy + ty)
        return matrix
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    c = math.sin(turn - sy) / math.cos(sy)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    # The inverse of a matrix of determinant one, divided by the scale.
    matrix = [v / scale for v in (d, -b, 0.0, -c, a, 0.0)]
    matrix[2] += matrix[0] * (-cx - tx) + matrix[1] * (-cy - ty) + cx
    matrix[5] += matrix[3] * (-cx - tx) + matrix[4] * (-cy - ty) + cy
    return matrix


def expanded_size(matrix: Sequence[float], width: int, height: int) -> tuple[int, int]:
    """(width, height) of a canvas that holds the whole turned image."""
    corners = np.array([[x, y, 1] for x in (-0.5, 0.5) for y in (-0.5, 0.5)], _F)
    corners *= np.array([width, height, 1], _F)
    points = corners @ np.array(matrix, _F).reshape(2, 3).T
    half = np.array([width * 0.5, height * 0.5], _F)
    # Cut to four digits, so that 1e-15 too much does not become a whole pixel.
    high, low = (
        np.trunc((edge + half) / _F(1e-4)) * _F(1e-4)
        for edge in (points.max(axis=0), points.min(axis=0))
    )
    size = np.ceil(high) - np.floor(low)
    return int(size[0]), int(size[1])


def affine_grid(matrix: Sequence[float], size: tuple[int, int], out: tuple[int, int]) -> np.ndarray:
    """Sampling positions ``[h, w, 2]`` in [-1, 1]; ``size`` and ``out`` are (width, height)."""
    theta = np.array(matrix, _F).reshape(2, 3).T / np.array([0.5 * n for n in size], _F)
    x = (np.arange(out[0]) - (out[0] - 1) * 0.5).astype(_F)[None, :, None]
    y = (np.arange(out[1]) - (out[1] - 1) * 0.5).astype(_F)[:, None, None]
    columns = np.broadcast_to(y, (out[1], out[0], 1))
    return fma32(columns, theta[1], x * theta[0]) + theta[2]


def perspective_grid(coefficients: Sequence[float], width: int, height: int) -> np.ndarray:
    """Sampling positions ``[h, w, 2]`` of a projection with eight coefficients."""
    c = np.array([*coefficients, 1.0], _F).reshape(3, 3)
    x = (np.arange(width) + 0.5).astype(_F)[None, :]
    y = np.broadcast_to((np.arange(height) + 0.5).astype(_F)[:, None], (height, width))
    half = np.array([0.5 * width, 0.5 * height], _F)
    upper = (c[:2].T / half).T
    below = fma32(y, c[2, 1], x * c[2, 0]) + c[2, 2]
    return np.stack(
        [(fma32(y, row[1], x * row[0]) + row[2]) / below - _F(1) for row in upper], axis=-1
    )


def identity_grid(width: int, height: int) -> np.ndarray:
    """Positions of the pixels themselves ``[h, w, 2]``."""
    x = np.linspace((1 - width) / width, (width - 1) / width, width, dtype=_F)
    y = np.linspace((1 - height) / height, (height - 1) / height, height, dtype=_F)
    return np.stack(np.meshgrid(x, y), axis=-1)


def perspective_coefficients(start: Sequence, end: Sequence) -> list[float]:
    """Eight coefficients of the projection that takes four ``start`` corners to ``end``."""
    if len(start) != 4 or len(end) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(start)} startpoints and {len(end)} "
            "endpoints."
        )
    rows = []
    for (x, y), (u, v) in zip(end, start, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    target = np.array(start, np.float64).reshape(8)
    return np.linalg.lstsq(np.array(rows, np.float64), target, rcond=None)[0].astype(_F).tolist()


def check_inputs(image: Tensor, mode: str, fill: Any) -> None:
    """Raise ValueError for a mode or a fill that tensors do not take."""
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")
    channels = int(image.shape[-3])
    if isinstance(fill, (tuple, list)) and len(fill) not in (1, channels):
        raise ValueError(
            "The number of elements in 'fill' cannot broadcast to match the number of channels of "
            f"the image ({len(fill)} != {channels})"
        )


def sample(
    image: Tensor, grid: np.ndarray, mode: str, fill: Any, name: str, fused: bool = False
) -> Tensor:
    """The image read at the positions ``grid`` ``[h, w, 2]``; outside it is ``fill`` (0 if None).

    Rounds as torch's ``grid_sample`` does. ``fused`` mixes the fill as transforms.v2 does.

    Raises: ValueError for a mode other than "nearest" and "bilinear".
    """
    check_inputs(image, mode, fill)

    def read(array: np.ndarray) -> np.ndarray:
        values = array if array.dtype.kind == "f" else array.astype(_F)
        kind, size = values.dtype.type, (values.shape[-1], values.shape[-2])
        x, y = (fma32(grid[..., i] + _F(1), _F(size[i] / 2), _F(-0.5)) for i in range(2))
        if mode == "nearest":
            out, mask = _at(values, np.rint(x), np.rint(y))
        else:
            out, mask = _bilinear(values, x, y)
        if fill is not None:
            colour = np.array(fill, kind).reshape(-1, 1, 1)
            if mode == "nearest":
                out = np.where(mask < 0.5, colour, out)
            elif fused:
                out = (out - colour) * mask + colour
            else:
                out = out * mask + (1 - mask) * colour
        return out if array.dtype.kind == "f" else np.rint(out).astype(array.dtype)

    return on_host(image, name, read)


def _at(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels at whole positions, 0 outside; and where they are inside, as numbers."""
    height, width = values.shape[-2:]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column = np.clip(x, 0, width - 1).astype(np.int64)
    row = np.clip(y, 0, height - 1).astype(np.int64)
    mask = inside.astype(values.dtype)
    return values[..., row, column] * mask, mask


def _bilinear(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    left, top = np.floor(x), np.floor(y)
    right, down = x - left, y - top
    out: Any = None
    mask: Any = None
    for dy, wy in ((0, 1 - down), (1, down)):
        for dx, wx in ((0, 1 - right), (1, right)):
            pixel, inside = _at(values, left + dx, top + dy)
            weight = (wx * wy).astype(values.dtype)
            out, mask = _add_product(out, pixel, weight), _add_product(mask, inside, weight)
    return out, mask


def _add_product(total: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if total is None:
        return a * b
    return fma32(a, b, total) if a.dtype == _F else total + a * b


def gaussian_blur(
    image: Tensor, kernel_size: Sequence[int], sigma: Sequence[float], fused: bool = False
) -> Tensor:
    """Blur with a kernel of [x, y] taps and deviations; edges are reflected."""

    def blur(array: np.ndarray) -> np.ndarray:
        out = array.astype(np.float64)
        for axis, taps, deviation in (
            (-1, kernel_size[0], sigma[0]),
            (-2, kernel_size[1], sigma[1]),
        ):
            half = taps // 2
            if half >= array.shape[axis]:
                raise RuntimeError(
                    f"gaussian_blur: a kernel of {taps} needs more than {half} pixels, but the "
                    f"image has {array.shape[axis]} (shape {list(array.shape)})."
                )
            weights = np.exp(-0.5 * (np.arange(-half, half + 1) / deviation) ** 2)
            weights /= weights.sum()
            moved = np.moveaxis(out, axis, -1)
            sides = [(0, 0)] * (moved.ndim - 1) + [(half, half)]
            padded = np.pad(moved, sides, mode="reflect")
            length = moved.shape[-1]
            moved = sum(padded[..., i : i + length] * w for i, w in enumerate(weights))
            out = np.moveaxis(moved, -1, axis)
        return (out if array.dtype.kind == "f" else np.rint(out)).astype(array.dtype)

    return on_host(image, "gaussian_blur", blur)
