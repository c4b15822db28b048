"""The transforms of Pillow images."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from hfpaddle.torchvision._pillow import Image, ImageEnhance, ImageOps, from_array, is_pil

Picture = Image.Image

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def check(image: Any) -> None:
    """Raise TypeError unless ``image`` is a Pillow image."""
    if not is_pil(image):
        raise TypeError(f"img should be PIL Image. Got {type(image)}")


def dimensions(image: Picture) -> list[int]:
    """[channels, height, width]."""
    if not is_pil(image):
        raise TypeError(f"Unexpected type {type(image)}")
    return [len(image.getbands()), image.height, image.width]


def hflip(image: Picture) -> Picture:
    check(image)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def vflip(image: Picture) -> Picture:
    check(image)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def crop(image: Picture, top: int, left: int, height: int, width: int) -> Picture:
    check(image)
    return image.crop((left, top, left + width, top + height))


def resize(image: Picture, size: list[int], resample: int) -> Picture:
    check(image)
    return image.resize((size[1], size[0]), resample)


def color_of(fill: Any, image: Picture) -> Any:
    """``fill`` as a colour of ``image``: a number or a tuple, one entry a channel.

    Raises: ValueError if it has another number of entries.
    """
    channels = len(image.getbands())
    fill = 0 if fill is None else fill
    if isinstance(fill, (int, float)) and channels > 1:
        fill = (fill,) * channels
    if isinstance(fill, (list, tuple)):
        fill = tuple(fill) * channels if len(fill) == 1 else tuple(fill)
        if len(fill) != channels:
            raise ValueError(
                "The number of elements in 'fill' does not match the number of channels of the "
                f"image ({len(fill)} != {channels})"
            )
    if image.mode == "F":
        return fill
    return tuple(int(v) for v in fill) if isinstance(fill, tuple) else int(fill)


def pad(image: Picture, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Picture:
    """``padding`` is a number, [x, y] or [left, top, right, bottom]."""
    check(image)
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if fill is not None and not isinstance(fill, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate fill arg")
    left, right, top, bottom = four_sides(padding)
    if padding_mode not in PADDING_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    palette = image.getpalette() if image.mode == "P" else None
    if padding_mode == "constant":
        border = (left, top, right, bottom)
        result = ImageOps.expand(image, border=border, fill=color_of(fill, image))
    else:
        cut = [max(-side, 0) for side in (left, top, right, bottom)]
        if any(cut):
            image = image.crop((cut[0], cut[1], image.width - cut[2], image.height - cut[3]))
        array = np.asarray(image)
        sides = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)]
        padded = np.pad(array, sides[: array.ndim], mode=padding_mode)
        result = Image.fromarray(padded)
    if palette is not None:
        result.putpalette(palette)
    return result


def four_sides(padding: Any) -> list[int]:
    """[left, right, top, bottom] of a number, [all], [x, y] or [left, top, right, bottom]."""
    if isinstance(padding, numbers.Number):
        return [padding] * 4
    if len(padding) == 1:
        return [padding[0]] * 4
    if len(padding) == 2:
        return [padding[0], padding[0], padding[1], padding[1]]
    if len(padding) == 4:
        return [padding[0], padding[2], padding[1], padding[3]]
    raise ValueError(
        f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple"
    )


def adjust_brightness(image: Picture, factor: float) -> Picture:
    check(image)
    return ImageEnhance.Brightness(image).enhance(factor)


def adjust_contrast(image: Picture, factor: float) -> Picture:
    check(image)
    return ImageEnhance.Contrast(image).enhance(factor)


def adjust_saturation(image: Picture, factor: float) -> Picture:
    check(image)
    return ImageEnhance.Color(image).enhance(factor)


def adjust_sharpness(image: Picture, factor: float) -> Picture:
    check(image)
    return ImageEnhance.Sharpness(image).enhance(factor)


def adjust_hue(image: Picture, factor: float) -> Picture:
    """Turn the hue by ``factor`` of the circle, -0.5 to 0.5."""
    if not -0.5 <= factor <= 0.5:
        raise ValueError(f"hue_factor ({factor}) is not in [-0.5, 0.5].")
    check(image)
    if image.mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    # Whole steps, and the circle is 256 of them: the sum wraps around.
    turned = np.array(hue, np.uint8) + np.int32(factor * 255).astype(np.uint8)
    return Image.merge("HSV", (from_array(turned, "L"), saturation, value)).convert(image.mode)


def adjust_gamma(image: Picture, gamma: float, gain: float = 1.0) -> Picture:
    """``gain * value ** gamma`` of values in [0, 1]."""
    check(image)
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    table = [int(255.999 * gain * pow(value / 255.0, gamma)) for value in range(256)] * 3
    return image.convert("RGB").point(table).convert(image.mode)


def rotate(
    image: Picture, angle: float, resample: int, expand: bool, center: Any, fill: Any
) -> Picture:
    check(image)
    colour = color_of(fill, image)
    return image.rotate(angle, resample, expand, center, fillcolor=colour)


def affine(image: Picture, matrix: list[float], resample: int, fill: Any) -> Picture:
    check(image)
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        matrix,
        resample,
        fillcolor=color_of(fill, image),
    )


def perspective(image: Picture, coefficients: list[float], resample: int, fill: Any) -> Picture:
    check(image)
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        coefficients,
        resample,
        fillcolor=color_of(fill, image),
    )


def to_grayscale(image: Picture, num_output_channels: int) -> Picture:
    """Mode "L", or "RGB" with three equal channels."""
    check(image)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    gray = image.convert("L")
    return gray if num_output_channels == 1 else Image.merge("RGB", (gray, gray, gray))


def invert(image: Picture) -> Picture:
    check(image)
    return ImageOps.invert(image)


def posterize(image: Picture, bits: int) -> Picture:
    check(image)
    return ImageOps.posterize(image, bits)


def solarize(image: Picture, threshold: float) -> Picture:
    check(image)
    return ImageOps.solarize(image, threshold)


def autocontrast(image: Picture) -> Picture:
    check(image)
    return ImageOps.autocontrast(image)


def equalize(image: Picture) -> Picture:
    check(image)
    return ImageOps.equalize(image)
