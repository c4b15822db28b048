"""Image files as uint8 tensors ``[C, H, W]`` and back.

Pillow decodes and encodes; its JPEG decoder is libjpeg-turbo, as the original's, and values may
differ by a few steps between builds of it.
"""

from __future__ import annotations

import io
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._convert import moved
from hfpaddle.torchvision._pillow import Image, ImageOps
from hfpaddle.torchvision.transforms._tensor import Tensor, to_array, to_tensor
from hfpaddle.torchvision.transforms.functional import to_pil_image


class ImageReadMode(Enum):
    """Channels of a decoded image."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4
    RGBA = RGB_ALPHA


_PILLOW = {
    ImageReadMode.GRAY: "L",
    ImageReadMode.GRAY_ALPHA: "LA",
    ImageReadMode.RGB: "RGB",
    ImageReadMode.RGB_ALPHA: "RGBA",
}


def read_file(path: Any) -> Tensor:
    """The bytes of a file, uint8 ``[n]``."""
    return to_tensor(np.frombuffer(Path(path).read_bytes(), np.uint8))


def write_file(filename: Any, data: Tensor) -> None:
    """Write bytes, uint8 ``[n]``."""
    Path(filename).write_bytes(to_array(data).tobytes())


def decode_image(
    input: Any, mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """Bytes of an image file (uint8 ``[n]``), or its path, as uint8 ``[C, H, W]``.

    Raises: UnsupportedArgumentError for images of more than 8 bits a channel.
    """
    data = to_array(input).tobytes() if isinstance(input, Tensor) else Path(input).read_bytes()
    mode = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    image: Image.Image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I") or image.mode == "F":
        raise UnsupportedArgumentError(
            f"decode_image: images of mode {image.mode!r} have more than 8 bits a channel, which "
            "has no implementation here. Open it with PIL.Image and use pil_to_tensor."
        )
    if apply_exif_orientation:
        image = ImageOps.exif_transpose(image)
    if mode is not ImageReadMode.UNCHANGED:
        image = image.convert(_PILLOW[mode])
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        # The original has no palettes and no single bits.
        transparent = "transparency" in image.info
        image = image.convert("L" if image.mode == "1" else "RGBA" if transparent else "RGB")
    array = np.array(image, np.uint8)
    return to_tensor(np.transpose(array.reshape(*array.shape[:2], -1), (2, 0, 1)))


def decode_jpeg(
    input: Any,
    mode: Any = ImageReadMode.UNCHANGED,
    device: Any = "cpu",
    apply_exif_orientation: bool = False,
) -> Any:
    """As :func:`decode_image`; a list of bytes gives a list of images."""
    if isinstance(input, list):
        return [decode_jpeg(item, mode, device, apply_exif_orientation) for item in input]
    return moved(decode_image(input, mode, apply_exif_orientation), None, device)


decode_png = decode_image


def read_image(
    path: Any, mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """An image file as uint8 ``[C, H, W]``."""
    return decode_image(str(path), mode, apply_exif_orientation)


def _encoded(image: Tensor, form: str, **options: Any) -> Tensor:
    if str(image.dtype) != "paddle.uint8" or image.ndim != 3 or image.shape[0] not in (1, 3):
        raise RuntimeError(
            f"encoding wants uint8 [1 or 3, H, W], not {image.dtype} {list(image.shape)}"
        )
    buffer = io.BytesIO()
    to_pil_image(image).save(buffer, form, **options)
    return to_tensor(np.frombuffer(buffer.getvalue(), np.uint8))


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """uint8 ``[1 or 3, H, W]`` as the bytes of a PNG file."""
    return _encoded(input, "PNG", compress_level=compression_level)


def encode_jpeg(input: Tensor, quality: int = 75) -> Tensor:
    """uint8 ``[1 or 3, H, W]`` as the bytes of a JPEG file."""
    if not 1 <= quality <= 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    return _encoded(input, "JPEG", quality=quality)


def write_png(input: Tensor, filename: Any, compression_level: int = 6) -> None:
    """Write a PNG file."""
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input: Tensor, filename: Any, quality: int = 75) -> None:
    """Write a JPEG file."""
    write_file(filename, encode_jpeg(input, quality))
