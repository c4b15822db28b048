"""The transforms of tensor images: sizes, cuts, dtypes.

Shape letters: C channels, H height, W width; axes before them are batches. Floating tensors stay
in Paddle, so gradients flow and any device serves; integer images are data and are worked on by
numpy, because Paddle has few uint8 kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.torch._dtypes import FLOATING, NAMES, as_dtype
from hfpaddle.torch._half import lifted
from hfpaddle.torch.nn import functional as F
from hfpaddle.torchvision.transforms._pil import PADDING_MODES, four_sides

Tensor = paddle.Tensor

_HALVES = ("float16", "bfloat16")


def is_floating(dtype: Any) -> bool:
    return dtype in FLOATING


def max_value(dtype: Any) -> int:
    """The value of white: the largest integer, 1 for floating dtypes."""
    name = NAMES[dtype]
    return 1 if is_floating(dtype) else int(np.iinfo(name).max)


def check(image: Tensor) -> None:
    if image.ndim < 2:
        raise TypeError("Tensor is not a torch image.")


def dimensions(image: Tensor) -> list[int]:
    """[channels, height, width]."""
    check(image)
    channels = 1 if image.ndim == 2 else int(image.shape[-3])
    return [channels, int(image.shape[-2]), int(image.shape[-1])]


def check_channels(image: Tensor, permitted: Sequence[int] = (1, 3)) -> None:
    channels = dimensions(image)[0]
    if channels not in permitted:
        raise TypeError(
            f"Input image tensor permitted channel values are {list(permitted)}, but found "
            f"{channels}"
        )


# Between tensors and arrays


def to_array(image: Tensor) -> np.ndarray:
    """The values on the host; half-precision ones as float32."""
    if NAMES[image.dtype] in _HALVES:
        image = paddle.cast(image, "float32")
    return image.detach().numpy()


def to_tensor(array: np.ndarray, like: Tensor | None = None) -> Tensor:
    """A tensor of ``array``, on the device of ``like`` (the CPU if None)."""
    place = paddle.CPUPlace() if like is None else like.place
    return paddle.to_tensor(np.ascontiguousarray(array), place=place)


def on_host(image: Tensor, name: str, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Apply a function of arrays to a tensor; the result has the tensor's device and dtype.

    Raises: MissingFeatureError if a gradient would have to flow through.
    """
    if not image.stop_gradient and paddle.is_grad_enabled():
        raise MissingFeatureError(
            f"{name}: no gradient flows through this transform here. Pass a detached tensor, or "
            "call it under torch.no_grad()."
        )
    result = to_tensor(function(to_array(image)), like=image)
    return result if result.dtype is image.dtype else paddle.cast(result, image.dtype)


# Cuts


def _by_kind(image: Tensor, floating: Callable, integer: Callable) -> Tensor:
    if is_floating(image.dtype):
        return floating(image)
    return to_tensor(integer(image.numpy()), like=image)


def hflip(image: Tensor) -> Tensor:
    check(image)
    return _by_kind(image, lambda x: paddle.flip(x, [-1]), lambda x: x[..., ::-1])


def vflip(image: Tensor) -> Tensor:
    check(image)
    return _by_kind(image, lambda x: paddle.flip(x, [-2]), lambda x: x[..., ::-1, :])


def rot90(image: Tensor, turns: int) -> Tensor:
    """Quarter turns, counter-clockwise."""
    return _by_kind(
        image,
        lambda x: paddle.rot90(x, turns, [-2, -1]),
        lambda x: np.rot90(x, turns, (-2, -1)),
    )


def take(image: Tensor, index: np.ndarray, axis: int) -> Tensor:
    """Rows, columns or channels in the order of ``index``."""
    return _by_kind(
        image,
        lambda x: paddle.index_select(x, paddle.to_tensor(index, place=x.place), axis=axis),
        lambda x: np.take(x, index, axis),
    )


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A rectangle; what lies outside of the image is 0."""
    _, h, w = dimensions(image)
    bottom, right = top + height, left + width
    inside = image[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if left >= 0 and top >= 0 and right <= w and bottom <= h:
        return inside
    sides = [
        max(min(right, 0) - left, 0),
        max(min(bottom, 0) - top, 0),
        max(right - max(w, left), 0),
        max(bottom - max(h, top), 0),
    ]
    return pad(inside, sides)


def pad(image: Tensor, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Tensor:
    """``padding`` is a number, [x, y] or [left, top, right, bottom]; negative numbers cut."""
    check(image)
    fill = 0 if fill is None else fill
    if not isinstance(padding, (int, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if not isinstance(fill, (int, float)):
        raise TypeError("Got inappropriate fill arg")
    left, right, top, bottom = four_sides(padding)
    if padding_mode not in PADDING_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    if padding_mode == "constant":
        return F.pad(image, [left, right, top, bottom], value=fill)
    for axis, before, after in ((-1, left, right), (-2, top, bottom)):
        size = int(image.shape[axis])
        limit = {"reflect": size - 1, "symmetric": size, "edge": None}[padding_mode]
        if limit is not None and max(before, after) > limit:
            raise RuntimeError(
                f"Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) at dimension {image.ndim + axis} of input "
                f"{list(image.shape)}"
            )
        ends = (max(before, 0), max(after, 0))
        index = np.pad(np.arange(size), ends, mode=padding_mode)
        image = take(image, index[max(-before, 0) : len(index) - max(-after, 0)], axis)
    return image


def erase(image: Tensor, top: int, left: int, value: Tensor, height: int, width: int) -> Tensor:
    """The image with ``value`` in a rectangle."""
    hole = np.zeros([int(n) for n in image.shape[-2:]], bool)
    hole[top : top + height, left : left + width] = True
    patch = to_array(value)

    def filled(array: np.ndarray) -> np.ndarray:
        array[..., top : top + height, left : left + width] = patch
        return array

    if image.stop_gradient:
        return on_host(image, "erase", filled)
    keep = paddle.to_tensor((~hole).astype("float32"), place=image.place)
    blank = on_host(paddle.zeros_like(image).detach(), "erase", filled)
    return image * paddle.cast(keep, image.dtype) + blank


# Values


def cast(image: Tensor, dtype: Any) -> Tensor:
    """To another dtype, values kept."""
    dtype = as_dtype(dtype)
    return image if image.dtype is dtype else paddle.cast(image, dtype)


def convert_dtype(image: Tensor, dtype: Any, fused: bool = False) -> Tensor:
    """To another dtype with black and white kept: 255 of uint8 is 1.0 of float32.

    Args:
        fused: round as transforms.v2 does (multiply by 1/255) rather than divide.
    Raises: RuntimeError for floating values to integers that they cannot count.
    """
    dtype = as_dtype(dtype)
    if image.dtype is dtype:
        return image
    source, target = NAMES[image.dtype], NAMES[dtype]
    if is_floating(image.dtype):
        if is_floating(dtype):
            return paddle.cast(image, dtype)
        if (source, target) in (("float32", "int32"), ("float32", "int64"), ("float64", "int64")):
            raise RuntimeError(
                f"The cast from {image.dtype} to {dtype} cannot be performed safely."
            )
        # A little less than one step more: every integer gets an equal part of [0, 1].
        top = max_value(dtype) + 1.0 - 1e-3
        return paddle.cast(lifted(paddle.scale)(image, top), dtype)
    if is_floating(dtype):
        white, values = max_value(image.dtype), paddle.cast(image, dtype)
        return values * (1.0 / white) if fused else divided(values, white)
    bits = math.log2(max_value(dtype) + 1) - math.log2(max_value(image.dtype) + 1)
    array = image.numpy()
    if bits < 0:
        shifted = array >> int(-bits)
    else:
        shifted = array.astype(target) << int(bits)
    return to_tensor(shifted.astype(target), like=image)


def divided(values: Tensor, by: float) -> Tensor:
    """Divide; Paddle's own ``/`` multiplies by the reciprocal, which rounds otherwise."""
    return paddle.divide(values, paddle.full([], by, values.dtype))


def normalize(
    image: Tensor, mean: Any, std: Any, inplace: bool = False, name: str = "tensor"
) -> Tensor:
    """``(image - mean) / std``, one mean and deviation a channel."""
    if not isinstance(image, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(image)}")
    check(image)
    if not is_floating(image.dtype):
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if image.ndim < 3:
        raise ValueError(
            f"Expected {name} to be a tensor image of size (..., C, H, W). Got {list(image.shape)}"
        )
    shift, scale = _per_channel(mean, image), _per_channel(std, image)
    if not to_array(scale).all():
        raise ValueError(
            f"std evaluated to zero after conversion to {image.dtype}, leading to division by zero."
        )
    if inplace:
        return paddle.divide_(paddle.subtract_(image, shift), scale)
    return _standardized(image, shift, scale)


@lifted
def _standardized(image: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return paddle.divide(paddle.subtract(image, shift), scale)


def _per_channel(values: Any, image: Tensor) -> Tensor:
    if not isinstance(values, Tensor):
        values = paddle.to_tensor(np.asarray(values, np.float64))
    values = paddle.cast(values, image.dtype)._copy_to(image.place, True)
    return paddle.reshape(values, [-1, 1, 1]) if values.ndim == 1 else values
