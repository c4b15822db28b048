"""Pillow, which comes with Paddle: ``import paddle`` itself needs it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

__all__ = ["Image", "ImageEnhance", "ImageOps", "from_array", "is_pil"]


def is_pil(value: object) -> bool:
    """Whether ``value`` is a Pillow image."""
    return isinstance(value, Image.Image)


def from_array(array: np.ndarray, mode: str) -> Image.Image:
    """A Pillow image of the bytes of ``array`` ``[H, W]`` or ``[H, W, C]``; ``mode`` reads them."""
    height, width = array.shape[:2]
    return Image.frombytes(mode, (width, height), array.tobytes(), "raw", mode)
