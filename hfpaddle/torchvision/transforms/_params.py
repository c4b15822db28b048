"""What the random transforms draw, in the original's order. Both generations share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hfpaddle.torchvision import _draw


def resized_crop(
    height: int, width: int, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a part of the image.

    Its area is a fraction in ``scale``, its width over height in ``ratio``; after ten tries that do
    not fit, the largest middle part with a ratio in bounds.
    """
    logs = _draw.log32(ratio)
    for _ in range(10):
        area = height * width * _draw.uniform(*scale)
        aspect = _draw.exp32(_draw.uniform(*logs))
        w, h = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
        if 0 < w <= width and 0 < h <= height:
            top = _draw.randint(0, height - h + 1)
            return top, _draw.randint(0, width - w + 1), h, w
    w, h = width, height
    if width / height < min(ratio):
        h = int(round(w / min(ratio)))
    elif width / height > max(ratio):
        w = int(round(h * max(ratio)))
    return (height - h) // 2, (width - w) // 2, h, w


def erased(
    channels: int,
    height: int,
    width: int,
    scale: Sequence[float],
    ratio: Sequence[float],
    value: Sequence[float] | None,
) -> tuple[int, int, int, int, np.ndarray] | None:
    """(top, left, height, width, what to put there ``[C or 1, h or 1, w or 1]``), or None.

    None after ten tries that do not fit. A ``value`` of None draws normal noise.
    """
    logs = _draw.log32(ratio)
    for _ in range(10):
        area = height * width * _draw.uniform(*scale)
        aspect = _draw.exp32(_draw.uniform(*logs))
        h, w = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
        if not (h < height and w < width):
            continue
        if value is None:
            fill = _draw.normal((channels, h, w))
        else:
            fill = np.asarray(value, np.float32)[:, None, None]
        top = _draw.randint(0, height - h + 1)
        return top, _draw.randint(0, width - w + 1), h, w, fill
    return None


def jitter(ranges: Sequence[Any]) -> tuple[list[int], list[float | None]]:
    """The order of the four changes of ColorJitter and their factors (None: left out)."""
    order = _draw.randperm(4)
    return order, [None if r is None else _draw.uniform(*r) for r in ranges]


def affine(
    degrees: Sequence[float],
    translate: Sequence[float] | None,
    scale: Sequence[float] | None,
    shear: Sequence[float] | None,
    size: Sequence[int],
) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
    """(angle, translation, scale, shear) for an image of ``size`` (width, height)."""
    angle = _draw.uniform(*degrees)
    moved = (0, 0)
    if translate is not None:
        limits = [float(t * n) for t, n in zip(translate, size, strict=True)]
        x, y = (int(round(_draw.uniform(-limit, limit))) for limit in limits)
        moved = (x, y)
    factor = 1.0 if scale is None else _draw.uniform(*scale)
    shear_x = shear_y = 0.0
    if shear is not None:
        shear_x = _draw.uniform(*shear[:2])
        shear_y = _draw.uniform(*shear[2:]) if len(shear) == 4 else 0.0
    return angle, moved, factor, (shear_x, shear_y)


def perspective(width: int, height: int, distortion: float) -> tuple[list, list]:
    """Four corners, and where they go: (x, y) clockwise from the top left."""
    dx, dy = int(distortion * (width // 2)) + 1, int(distortion * (height // 2)) + 1
    ranges = (
        ((0, dx), (0, dy)),
        ((width - dx, width), (0, dy)),
        ((width - dx, width), (height - dy, height)),
        ((0, dx), (height - dy, height)),
    )
    end = [[_draw.randint(*x), _draw.randint(*y)] for x, y in ranges]
    start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    return start, end


def noise_field(height: int, width: int) -> np.ndarray:
    """Uniform in [-1, 1): float32 ``[1, 1, H, W]``."""
    return _draw.rand((1, 1, height, width)) * np.float32(2) - np.float32(1)
