"""``torchvision.io``: image files as tensors and back, by Pillow."""

from __future__ import annotations

from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision.io.image import (
    ImageReadMode,
    decode_image,
    decode_jpeg,
    decode_png,
    encode_jpeg,
    encode_png,
    read_file,
    read_image,
    write_file,
    write_jpeg,
    write_png,
)

__all__ = [
    "ImageReadMode", "decode_image", "decode_jpeg", "decode_png", "encode_jpeg", "encode_png",
    "read_file", "read_image", "write_file", "write_jpeg", "write_png",
]  # fmt: skip
_VIDEO = "Read frames with another package, such as av or imageio."
__getattr__ = missing_names(
    __name__, globals(), {"VideoReader": _VIDEO, "read_video": _VIDEO, "write_video": _VIDEO}
)
