"""Resizing tensor images.

``resize`` is torchvision.transforms': integer images are resized as float32 and rounded.
``resize_native`` is transforms.v2's: uint8 images stay uint8, with weights of 16 bits and a
rounding after each of the two passes, as torch's integer kernel does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle

from hfpaddle.core.rng_math import fma32
from hfpaddle.torch.nn import functional as F
from hfpaddle.torchvision.transforms._tensor import cast, check, is_floating, on_host

Tensor = paddle.Tensor

SMOOTH = ("bilinear", "bicubic", "lanczos")


def resize(image: Tensor, size: list[int], mode: str, antialias: bool | None) -> Tensor:
    """``[..., H, W]`` to ``[..., *size]``, through float32 if it holds integers.

    Args:
        mode: the value of an InterpolationMode.
        antialias: widen the filter as the image shrinks; of effect for the smooth modes.
    """
    check(image)
    if not is_floating(image.dtype) and mode in SMOOTH:
        return on_host(image, "resize", lambda x: _rounded(x, size, mode, bool(antialias)))
    flat = paddle.reshape(image, [-1, 1, *image.shape[-2:]]) if image.ndim != 4 else image
    values = flat if is_floating(image.dtype) else cast(flat, "float32")
    out = cast(_interpolate(values, size, mode, bool(antialias)), image.dtype)
    return out if image.ndim == 4 else paddle.reshape(out, [*image.shape[:-2], *size])


def _rounded(array: np.ndarray, size: list[int], mode: str, antialias: bool) -> np.ndarray:
    """Integers resized as float32 with torch's own roundings, so that ties fall alike."""
    values = array.astype(np.float32)
    for axis, new in ((-1, size[1]), (-2, size[0])):
        if values.shape[axis] != new:
            values = _float_pass(values, new, axis, mode, antialias)
    if array.dtype == np.uint8:
        values = np.clip(values, 0, 255)
    return np.rint(values).astype(array.dtype)


def resize_native(image: Tensor, size: list[int], mode: str, antialias: bool | None) -> Tensor:
    """As :func:`resize`, with uint8 images in integers for the smooth modes."""
    if mode == "lanczos" and not antialias:
        raise ValueError("InterpolationMode.LANCZOS requires antialias=True")
    if image.dtype is not paddle.uint8 or mode not in SMOOTH:
        return resize(image, size, mode, antialias)
    widths = (size[1], size[0])

    def passes(array: np.ndarray) -> np.ndarray:
        for axis, new in zip((-1, -2), widths, strict=True):
            if array.shape[axis] != new:
                array = _integer_pass(array, new, axis, mode, bool(antialias))
        return array

    return on_host(image, "resize", passes)


def _interpolate(values: Tensor, size: list[int], mode: str, antialias: bool) -> Tensor:
    if mode == "lanczos":
        for axis, new in ((-1, size[1]), (-2, size[0])):
            matrix = filter_matrix(int(values.shape[axis]), new, mode, antialias)
            weights = cast(paddle.to_tensor(matrix, place=values.place), values.dtype)
            if axis == -1:
                values = paddle.matmul(values, weights, transpose_y=True)
            else:
                values = paddle.matmul(weights, values)
        return values
    if mode not in SMOOTH:
        return F.interpolate(values, size=size, mode=mode)
    return F.interpolate(values, size=size, mode=mode, align_corners=False, antialias=antialias)


# Filters: value at a distance in input steps. They keep the dtype that they are given.


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _keys(a: float) -> Callable[[np.ndarray], np.ndarray]:
    def cubic(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * a
        return np.where(x < 1, near, np.where(x < 2, far, x * 0))

    return cubic


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), x * 0)


# mode -> (reach, filter where the image may shrink, filter of plain interpolation)
_FILTERS = {
    "bilinear": (1, _triangle, _triangle),
    "bicubic": (2, _keys(-0.5), _keys(-0.75)),
    "lanczos": (3, _lanczos, _lanczos),
}


def _taps(
    size: int, new: int, mode: str, antialias: bool, kind: type = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Input positions that each output reads, int64 ``[new, K]``, and their weights of ``kind``.

    The roundings are those of torch's kernels, which compute weights in the dtype of the image.
    """
    reach, shrinking, plain = _FILTERS[mode]
    step, rows = kind(size) / kind(new), np.arange(new)
    if not antialias:
        source = (step * (rows.astype(kind) + kind(0.5)) - kind(0.5)).astype(kind)
        source = np.maximum(source, 0) if mode == "bilinear" else source
        base = np.floor(source).astype(np.int64)
        offsets = np.arange(1 - reach, reach + 1)
        distance = (source - base).astype(kind)[:, None] - offsets.astype(kind)
        return np.clip(base[:, None] + offsets, 0, size - 1), plain(distance).astype(kind)
    support = kind(reach * max(step, kind(1)))
    centre = (np.float64(step) * (rows + 0.5)).astype(kind)
    low = np.maximum(((centre - support) + 0.5).astype(np.int64), 0)
    high = np.minimum(((centre + support) + 0.5).astype(np.int64), size)
    inner = np.arange(int((high - low).max()))
    index = low[:, None] + inner
    distance = (index.astype(kind) - centre[:, None]).astype(np.float64) + 0.5
    distance = (distance * kind(1 / max(step, kind(1)))).astype(kind)
    weights = np.where(index < high[:, None], shrinking(distance), kind(0)).astype(kind)
    total = np.add.accumulate(weights, axis=1, dtype=kind)[:, -1:]
    return np.minimum(index, size - 1), weights / total


def filter_matrix(size: int, new: int, mode: str, antialias: bool) -> np.ndarray:
    """Weights of each input position for each output position, float64 ``[new, size]``."""
    index, weights = _taps(size, new, mode, antialias)
    matrix = np.zeros((new, size))
    np.add.at(matrix, (np.arange(new)[:, None], index), weights)
    return matrix


def _float_pass(array: np.ndarray, new: int, axis: int, mode: str, antialias: bool) -> np.ndarray:
    index, weights = _taps(array.shape[axis], new, mode, antialias, np.float32)
    moved = np.moveaxis(array, axis, -1)
    total = moved[..., index[:, 0]] * weights[:, 0]
    for k in range(1, index.shape[1]):
        total = fma32(moved[..., index[:, k]], weights[:, k], total)
    return np.moveaxis(total, -1, axis)


def _integer_pass(array: np.ndarray, new: int, axis: int, mode: str, antialias: bool) -> np.ndarray:
    """Filter one axis of a uint8 array with 16-bit weights, and round to uint8."""
    matrix = filter_matrix(array.shape[axis], new, mode, antialias)
    bits = 0
    while bits < 22 and int(0.5 + matrix.max() * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    # Half away from zero, as C's cast of w * 2**bits + 0.5 does.
    weights = np.trunc(matrix * (1 << bits) + np.copysign(0.5, matrix))
    # Sums stay below 2**31, so products in float64 are exact and go through BLAS.
    moved = np.moveaxis(array, axis, -1).astype(np.float64)
    sums = (moved @ weights.T).astype(np.int64) + (1 << (bits - 1))
    return np.moveaxis(np.clip(sums >> bits, 0, 255), -1, axis).astype(np.uint8)
