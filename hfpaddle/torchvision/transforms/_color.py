"""Colours of tensor images, on arrays ``[..., C, H, W]``.

Integers are computed in float32 and truncated. ``fused`` chooses between the roundings of
torchvision.transforms (False) and of transforms.v2 (True), which multiplies and adds in one step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hfpaddle.core.rng_math import fma32
from hfpaddle.torchvision.transforms._tensor import (
    Tensor,
    check_channels,
    max_value,
    on_host,
)

_F = np.float32


def white(array: np.ndarray) -> int:
    """The value of white in this dtype."""
    return 1 if array.dtype.kind == "f" else int(np.iinfo(array.dtype).max)


def _float(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind == "f" else array.astype(_F)


def _add_scaled(a: np.ndarray, b: np.ndarray, scale: float, fused: bool) -> np.ndarray:
    """``a + scale * b``."""
    factor = a.dtype.type(scale)
    if fused and a.dtype == _F:
        return fma32(np.broadcast_to(b, a.shape), factor, a)
    return a + factor * b


def _like(values: np.ndarray, array: np.ndarray) -> np.ndarray:
    """``values`` cut to black and white, in the dtype of ``array``."""
    return np.clip(values, 0, white(array)).astype(array.dtype)


def _blend(array: np.ndarray, other: np.ndarray, ratio: float, fused: bool) -> np.ndarray:
    values = _float(array)
    first = values.dtype.type(ratio) * values
    return _like(_add_scaled(first, _float(other), 1.0 - ratio, fused), array)


def _gray(array: np.ndarray, fused: bool) -> np.ndarray:
    """Luma ``[..., 1, H, W]``; whole numbers for integers."""
    red, green, blue = (_float(array[..., i : i + 1, :, :]) for i in range(3))
    luma = red * red.dtype.type(0.2989)
    luma = _add_scaled(_add_scaled(luma, green, 0.587, fused), blue, 0.114, fused)
    return luma if array.dtype.kind == "f" else np.floor(luma)


def _apply(
    image: Tensor, name: str, function: Callable[[np.ndarray], np.ndarray], any_number: bool = False
) -> Tensor:
    if not any_number:
        check_channels(image)
    return on_host(image, name, function)


def _not_negative(name: str, factor: float) -> None:
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")


def grayscale(image: Tensor, num_output_channels: int = 1, fused: bool = False) -> Tensor:
    """One channel of luma, or three equal ones."""
    if image.ndim < 3:
        raise TypeError(
            f"Input image tensor should have at least 3 dimensions, but found {image.ndim}"
        )
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")

    def gray(array: np.ndarray) -> np.ndarray:
        if array.shape[-3] == 3:
            return np.repeat(_gray(array, fused).astype(array.dtype), num_output_channels, axis=-3)
        # The original's transforms keep one channel here, and its transforms.v2 repeats it.
        return np.repeat(array, num_output_channels if fused else 1, axis=-3)

    return _apply(image, "rgb_to_grayscale", gray)


def brightness(image: Tensor, factor: float, fused: bool = False) -> Tensor:
    _not_negative("brightness_factor", factor)
    return _apply(
        image,
        "adjust_brightness",
        lambda x: _like(_float(x) * _float(x).dtype.type(factor), x),
    )


def contrast(image: Tensor, factor: float, fused: bool = False) -> Tensor:
    _not_negative("contrast_factor", factor)

    def apply(array: np.ndarray) -> np.ndarray:
        gray = _gray(array, fused) if array.shape[-3] == 3 else _float(array)
        mean = gray.mean(axis=(-3, -2, -1), keepdims=True, dtype=np.float64).astype(gray.dtype)
        return _blend(array, mean, factor, fused)

    return _apply(image, "adjust_contrast", apply)


def saturation(image: Tensor, factor: float, fused: bool = False) -> Tensor:
    _not_negative("saturation_factor", factor)

    def apply(array: np.ndarray) -> np.ndarray:
        if array.shape[-3] == 1:
            return array
        return _blend(array, _gray(array, fused), factor, fused)

    return _apply(image, "adjust_saturation", apply)


def hue(image: Tensor, factor: float, fused: bool = False) -> Tensor:
    """Turn the hue by ``factor`` of the circle, -0.5 to 0.5."""
    if not -0.5 <= factor <= 0.5:
        raise ValueError(f"hue_factor ({factor}) is not in [-0.5, 0.5].")

    def apply(array: np.ndarray) -> np.ndarray:
        if array.shape[-3] == 1 or array.size == 0:
            return array
        values = _unit(array, fused)
        h, s, v = _to_hsv(values, fused)
        turned = np.remainder(h + _F(factor), _F(1))
        return _from_unit(_to_rgb(turned, s, v, fused), array.dtype)

    return _apply(image, "adjust_hue", apply)


def _unit(array: np.ndarray, fused: bool) -> np.ndarray:
    """Values in [0, 1], float32."""
    values = array.astype(_F)
    if array.dtype.kind == "f":
        return values
    return values * _F(1.0 / white(array)) if fused else values / _F(white(array))


def _from_unit(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return values.astype(dtype)
    return (values * _F(np.iinfo(dtype).max + 1.0 - 1e-3)).astype(dtype)


def _to_hsv(x: np.ndarray, fused: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    red, green = x[..., 0, :, :], x[..., 1, :, :]
    high, low = x.max(axis=-3), x.min(axis=-3)
    spread, flat = high - low, high == low
    one = _F(1)
    s = spread / np.where(flat, one, high)
    far = (high[..., None, :, :] - x) / np.where(flat, one, spread)[..., None, :, :]
    rc, gc, bc = (far[..., i, :, :] for i in range(3))
    is_red, is_green = high == red, high == green
    h = np.where(is_red, bc - gc, np.where(is_green, _F(2) + rc - bc, _F(4) + gc - rc))
    sixth = h * _F(1 / 6) if fused else h / _F(6)
    return np.fmod(sixth + one, one), s, high


def _to_rgb(h: np.ndarray, s: np.ndarray, v: np.ndarray, fused: bool) -> np.ndarray:
    sector = np.floor(h * _F(6))
    f, one = h * _F(6) - sector, _F(1)
    p, q = v * (one - s), v * (one - s * f)
    t = (s * f + (one - s)) * v if fused else v * (one - s * (one - f))
    p, q, t = (np.clip(c, _F(0), one) for c in (p, q, t))
    which = sector.astype(np.int32) % 6
    channels = ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))
    return np.stack([np.choose(which, list(c)) for c in channels], axis=-3)


def gamma(image: Tensor, exponent: float, gain: float = 1.0, fused: bool = False) -> Tensor:
    """``gain * value ** exponent`` of values in [0, 1]."""
    if exponent < 0:
        raise ValueError("Gamma should be a non-negative real number")

    def apply(array: np.ndarray) -> np.ndarray:
        values = array if array.dtype.kind == "f" else _unit(array, fused)
        kind = values.dtype.type
        return _from_unit(np.clip(kind(gain) * values ** kind(exponent), 0, 1), array.dtype)

    return _apply(image, "adjust_gamma", apply)


def invert(image: Tensor, fused: bool = False) -> Tensor:
    return _apply(image, "invert", lambda x: (white(x) - x).astype(x.dtype), any_number=fused)


def posterize(image: Tensor, bits: int, fused: bool = False) -> Tensor:
    """Keep the highest ``bits`` bits. Floating images need ``fused`` (transforms.v2)."""
    if not fused and str(image.dtype) != "paddle.uint8":
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")

    def apply(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind == "f":
            levels = array.dtype.type(1 << bits)
            return np.clip(np.floor(array * levels), 0, levels - 1) * (1 / levels)
        width = int(white(array)).bit_length()
        return (
            array
            if bits >= width
            else array & array.dtype.type(((1 << bits) - 1) << (width - bits))
        )

    return _apply(image, "posterize", apply, any_number=fused)


def solarize(image: Tensor, threshold: float, fused: bool = False) -> Tensor:
    """Invert what is at least ``threshold``."""
    if threshold > max_value(image.dtype):
        raise TypeError("Threshold should be less than bound of img.")

    def apply(array: np.ndarray) -> np.ndarray:
        values = _float(array)
        bright = values >= values.dtype.type(threshold)
        return np.where(bright, white(array) - array, array).astype(array.dtype)

    return _apply(image, "solarize", apply, any_number=fused)


def autocontrast(image: Tensor, fused: bool = False) -> Tensor:
    """Stretch each channel from black to white."""

    def apply(array: np.ndarray) -> np.ndarray:
        values, bound = _float(array), white(array)
        low = values.min(axis=(-2, -1), keepdims=True)
        high = values.max(axis=(-2, -1), keepdims=True)
        flat, one = low == high, values.dtype.type(1)
        low = np.where(flat, 0 * one, low)
        spread = np.where(flat, one, high - low)
        if fused:
            scaled = (values - low) / np.where(flat, one, spread * values.dtype.type(1 / bound))
        else:
            # torch divides a number by a tensor as number * reciprocal.
            stretch = one / spread * values.dtype.type(bound)
            scaled = (values - low) * np.where(flat, one, stretch)
        return _like(scaled, array)

    return _apply(image, "autocontrast", apply)


def equalize(image: Tensor, fused: bool = False) -> Tensor:
    """Spread the histogram of each channel. Floating images need ``fused`` (transforms.v2)."""
    if not fused and str(image.dtype) != "paddle.uint8":
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")

    def channel(array: np.ndarray) -> np.ndarray:
        counts = np.bincount(array.reshape(-1), minlength=256)
        step = counts[: np.flatnonzero(counts)[-1]].sum() // 255
        if step == 0:
            return array
        table = (np.cumsum(counts)[:-1] + step // 2) // step
        return np.concatenate([[0], np.clip(table, 0, 255)]).astype(np.uint8)[array]

    def apply(array: np.ndarray) -> np.ndarray:
        levels = array if array.dtype == np.uint8 else _from_unit(array, np.dtype(np.uint8))
        flat = levels.reshape(-1, *levels.shape[-2:])
        out = np.stack([channel(c) for c in flat]).reshape(levels.shape)
        return out if array.dtype == np.uint8 else _unit(out, True).astype(array.dtype)

    return _apply(image, "equalize", apply, any_number=fused)


def sharpness(image: Tensor, factor: float, fused: bool = False) -> Tensor:
    """Blend with a blurred copy: 0 blurs, 1 keeps, more sharpens."""
    _not_negative("sharpness_factor", factor)

    def apply(array: np.ndarray) -> np.ndarray:
        if min(array.shape[-2:]) <= 2:
            return array
        values = _float(array)
        inner = values[..., 1:-1, 1:-1]
        blurred = _neighbours(values) + values.dtype.type(5 / 13) * inner
        if array.dtype.kind != "f":
            blurred = np.rint(blurred)
        soft = values.copy()
        if not fused:
            soft[..., 1:-1, 1:-1] = blurred
            return _blend(array, soft, factor, False)
        soft[..., 1:-1, 1:-1] = _add_scaled(inner, blurred - inner, 1.0 - factor, True)
        return _like(soft, array)

    return _apply(image, "adjust_sharpness", apply)


def _neighbours(values: np.ndarray) -> np.ndarray:
    """A thirteenth of the sum of the eight neighbours of each inner pixel."""
    height, width = values.shape[-2:]
    total = np.zeros([*values.shape[:-2], height - 2, width - 2], values.dtype)
    for y in range(3):
        for x in range(3):
            if (y, x) != (1, 1):
                total += values[..., y : y + height - 2, x : x + width - 2]
    return total * values.dtype.type(1 / 13)
