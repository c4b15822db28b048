"""``torchvision.utils``: grids of images, and saving them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle

from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision._pillow import Image
from hfpaddle.torchvision.transforms._tensor import Tensor, cast, to_array, to_tensor

__all__ = ["make_grid", "save_image"]


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images ``[B, C, H, W]`` (or a list of ``[C, H, W]``) side by side as one ``[C, H', W']``.

    Args:
        nrow: images a row.
        normalize: stretch to [0, 1] from ``value_range``, or from the values themselves: of each
            image with ``scale_each``, of all otherwise.
    """
    parts = tensor if isinstance(tensor, list) else [tensor]
    wrong = next((type(t) for t in parts if not isinstance(t, Tensor)), None)
    if wrong is not None:
        inside = "a list containing " if isinstance(tensor, list) else ""
        raise TypeError(f"tensor or list of tensors expected, got {inside}{wrong}")
    if value_range is not None and not isinstance(value_range, tuple):
        raise TypeError(
            "value_range has to be a tuple (min, max) if specified. min and max are numbers"
        )
    arrays = [to_array(t) for t in parts]
    images = np.stack(arrays) if isinstance(tensor, list) else arrays[0]
    images = images.reshape((1,) * (4 - images.ndim) + images.shape)
    if images.shape[1] == 1:
        images = np.repeat(images, 3, axis=1)
    if normalize:
        images = _stretched(images, value_range, scale_each)
    grid = images[0] if len(images) == 1 else _laid_out(images, nrow, padding, pad_value)
    return cast(to_tensor(grid, like=parts[0]), parts[0].dtype)


def _stretched(images: np.ndarray, value_range: Any, scale_each: bool) -> np.ndarray:
    def stretch(x: np.ndarray) -> np.ndarray:
        low, high = (float(x.min()), float(x.max())) if value_range is None else value_range
        kind = x.dtype.type
        return (np.clip(x, low, high) - kind(low)) / kind(max(high - low, 1e-5))

    return np.stack([stretch(x) for x in images]) if scale_each else stretch(images)


def _laid_out(images: np.ndarray, nrow: int, padding: int, pad_value: float) -> np.ndarray:
    count, channels, height, width = images.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    high, wide = height + padding, width + padding
    shape = (channels, high * rows + padding, wide * columns + padding)
    grid = np.full(shape, pad_value).astype(images.dtype)
    for i, image in enumerate(images):
        y, x = i // columns * high + padding, i % columns * wide + padding
        grid[:, y : y + height, x : x + width] = image
    return grid


def save_image(tensor: Any, fp: Any, format: str | None = None, **kwargs: Any) -> None:
    """Save an image, or a grid, of values in [0, 1]; the other arguments are make_grid's."""
    with paddle.no_grad():
        grid = to_array(make_grid(tensor, **kwargs))
    levels = np.clip(grid * grid.dtype.type(255) + grid.dtype.type(0.5), 0, 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(np.transpose(levels, (1, 2, 0)))).save(fp, format=format)


_DRAW = "Draw on the Pillow image (PIL.ImageDraw)."
__getattr__ = missing_names(
    __name__,
    globals(),
    {
        "draw_bounding_boxes": _DRAW,
        "draw_keypoints": _DRAW,
        "draw_segmentation_masks": _DRAW,
        "flow_to_image": "Compute the colours with numpy.",
    },
)
