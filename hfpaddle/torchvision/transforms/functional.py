"""``torchvision.transforms.functional``: one function a transform, of Pillow images and tensors.

Tensors are ``[..., C, H, W]``; most functions take uint8 and floating ones. Signatures, checks and
error types are the original's.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from hfpaddle.torch._dtypes import NAMES, get_default_dtype
from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision._pillow import from_array, is_pil
from hfpaddle.torchvision.transforms import _color, _pil, _resize, _tensor, _warp
from hfpaddle.torchvision.transforms._tensor import Tensor


class InterpolationMode(Enum):
    """Ways to read between pixels; box, hamming and lanczos are Pillow's alone."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


pil_modes_mapping = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.NEAREST_EXACT: 0,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
    InterpolationMode.LANCZOS: 1,
}
_OF_INT = {number: mode for mode, number in reversed(pil_modes_mapping.items())}


def interpolation_mode(value: Any) -> InterpolationMode:
    """An InterpolationMode of itself or of Pillow's number."""
    if isinstance(value, int):
        return _OF_INT[value]
    if not isinstance(value, InterpolationMode):
        raise TypeError(
            "Argument interpolation should be a InterpolationMode or a corresponding Pillow "
            "integer constant"
        )
    return value


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width]."""
    return (_tensor if isinstance(img, Tensor) else _pil).dimensions(img)


def get_image_size(img: Any) -> list[int]:
    """[width, height]."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img: Any) -> int:
    """Number of channels."""
    return get_dimensions(img)[0]


# Between images, arrays and tensors


def to_tensor(pic: Any) -> Tensor:
    """A Pillow image or an array ``[H, W]`` or ``[H, W, C]`` as a tensor ``[C, H, W]``.

    uint8 becomes the default floating dtype in [0, 1]; other dtypes keep their values.
    """
    if not is_pil(pic) and not isinstance(pic, np.ndarray):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    if is_pil(pic):
        array = _pixels(pic, {"I": np.int32, "I;16": np.int16, "F": np.float32})
        array = 255 * array if pic.mode == "1" else array
    elif pic.ndim in (2, 3):
        array = np.transpose(pic.reshape(*pic.shape[:2], -1), (2, 0, 1))
    else:
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    if array.dtype == np.uint8:
        kind = np.dtype("float64" if NAMES[get_default_dtype()] == "float64" else "float32").type
        tensor = _tensor.to_tensor(array.astype(kind) / kind(255))
        return _tensor.cast(tensor, get_default_dtype())
    return _tensor.to_tensor(array)


def _pixels(image: Any, kinds: dict[str, Any]) -> np.ndarray:
    """``[C, H, W]``; modes that are not in ``kinds`` are uint8."""
    array = np.array(image, kinds.get(image.mode, np.uint8))
    return np.transpose(array.reshape(image.height, image.width, -1), (2, 0, 1))


def pil_to_tensor(pic: Any) -> Tensor:
    """A Pillow image as a tensor ``[C, H, W]`` of the same values."""
    if not is_pil(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic)
    return _tensor.to_tensor(np.transpose(array.reshape(pic.height, pic.width, -1), (2, 0, 1)))


_MODES = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}
_ONE_CHANNEL = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor ``[C, H, W]`` or an array ``[H, W, C]`` as a Pillow image.

    Floating values count 1 as white, except in mode "F".
    """
    if isinstance(pic, Tensor):
        array = _tensor.to_array(pic)
        array = np.transpose(array, (1, 2, 0)) if array.ndim == 3 else array
    elif isinstance(pic, np.ndarray):
        array = pic
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if array.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
    array = array[:, :, None] if array.ndim == 2 else array
    channels = array.shape[-1]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if array.dtype.kind == "f" and mode != "F":
        array = (array * 255).astype(np.uint8)
    if channels == 1:
        array, expected = array[:, :, 0], _ONE_CHANNEL.get(array.dtype.name)
        if mode is not None and mode != expected:
            raise ValueError(
                f"Incorrect mode ({mode}) supplied for input type {array.dtype}. Should be "
                f"{expected}"
            )
        mode = expected
    else:
        permitted = _MODES[channels]
        if mode is not None and mode not in permitted:
            raise ValueError(f"Only modes {list(permitted)} are supported for {channels}D inputs")
        if mode is None and array.dtype == np.uint8:
            mode = permitted[0]
    if mode is None:
        raise TypeError(f"Input type {array.dtype} is not supported")
    return from_array(array, mode)


def convert_image_dtype(image: Tensor, dtype: Any = "float32") -> Tensor:
    """To another dtype with black and white kept."""
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    return _tensor.convert_dtype(image, dtype)


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """``(tensor - mean) / std``, one mean and deviation a channel."""
    return _tensor.normalize(tensor, mean, std, inplace)


# Sizes and cuts


def resized_size(
    size: Any, height: int, width: int, max_size: int | None = None, none_too: bool = False
) -> list[int]:
    """[height, width] after resizing to ``size``.

    One number is the new shorter side; the longer one follows, up to ``max_size``. With
    ``none_too``, a size of None makes the longer side ``max_size``.
    """
    short, long = sorted((height, width))
    if size is None and none_too:
        if not isinstance(max_size, int):
            raise ValueError(
                f"max_size must be an integer when size is None, but got {max_size} instead."
            )
        new_short, new_long = int(max_size * short / long), max_size
    elif len(size) == 1:
        new_short, new_long = size[0], int(size[0] * long / short)
        if max_size is not None:
            if max_size <= size[0]:
                raise ValueError(
                    f"max_size = {max_size} must be strictly greater than the requested size for "
                    f"the smaller edge size = {size}"
                )
            if new_long > max_size:
                new_short, new_long = int(max_size * new_short / new_long), max_size
    else:
        return [size[0], size[1]]
    return [new_long, new_short] if width <= height else [new_short, new_long]


def resize(
    img: Any,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """To ``size``: (height, width), or the length of the shorter side."""
    mode = interpolation_mode(interpolation)
    if isinstance(size, (list, tuple)):
        if len(size) not in (1, 2):
            raise ValueError(
                f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element "
                "tuple/list"
            )
        if max_size is not None and len(size) != 1:
            raise ValueError(
                "max_size should only be passed if size specifies the length of the smaller edge, "
                "i.e. size should be an int or a sequence of length 1 in torchscript mode."
            )
    _, height, width = get_dimensions(img)
    new = resized_size([size] if isinstance(size, int) else size, height, width, max_size)
    if [height, width] == new:
        return img
    if isinstance(img, Tensor):
        return _resize.resize(img, new, mode.value, antialias)
    if antialias is False:
        warnings.warn(
            "Anti-alias option is always applied for PIL Image input. Argument antialias is "
            "ignored.",
            stacklevel=2,
        )
    return _pil.resize(img, new, pil_modes_mapping[mode])


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """Add borders: ``padding`` is a number, [x, y] or [left, top, right, bottom]."""
    return (_tensor if isinstance(img, Tensor) else _pil).pad(img, padding, fill, padding_mode)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A rectangle; what lies outside of the image is 0."""
    return (_tensor if isinstance(img, Tensor) else _pil).crop(img, top, left, height, width)


def pair(size: Any) -> Sequence[int]:
    """(size, size) of a number or of one in a list."""
    if isinstance(size, numbers.Number):
        return (int(size), int(size))
    return (size[0], size[0]) if isinstance(size, (tuple, list)) and len(size) == 1 else size


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle of the image; a smaller image is padded with 0 first."""
    crop_height, crop_width = pair(output_size)
    _, height, width = get_dimensions(img)
    if crop_width > width or crop_height > height:
        missing_x, missing_y = max(crop_width - width, 0), max(crop_height - height, 0)
        sides = [missing_x // 2, missing_y // 2, (missing_x + 1) // 2, (missing_y + 1) // 2]
        img = pad(img, sides, fill=0)
        _, height, width = get_dimensions(img)
        if (crop_height, crop_width) == (height, width):
            return img
    top, left = int(round((height - crop_height) / 2.0)), int(round((width - crop_width) / 2.0))
    return crop(img, top, left, crop_height, crop_width)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """Crop, then resize."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return (_tensor if isinstance(img, Tensor) else _pil).hflip(img)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return (_tensor if isinstance(img, Tensor) else _pil).vflip(img)


def five_crop(img: Any, size: Any) -> tuple:
    """The four corners and the middle: top left, top right, bottom left, bottom right, middle."""
    size = pair(size)
    if len(size) != 2:
        raise ValueError("Please provide only two dimensions (h, w) for size.")
    _, height, width = get_dimensions(img)
    h, w = size
    if w > width or h > height:
        raise ValueError(f"Requested crop size {size} is bigger than input size {(height, width)}")
    corners = ((0, 0), (0, width - w), (height - h, 0), (height - h, width - w))
    return (*(crop(img, y, x, h, w) for y, x in corners), center_crop(img, [h, w]))


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple:
    """Five crops of the image and five of the image flipped."""
    flipped = vflip(img) if vertical_flip else hflip(img)
    return five_crop(img, size) + five_crop(flipped, size)


# Colours


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """0 is black, 1 the image."""
    if isinstance(img, Tensor):
        return _color.brightness(img, brightness_factor)
    return _pil.adjust_brightness(img, brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """0 is gray, 1 the image."""
    if isinstance(img, Tensor):
        return _color.contrast(img, contrast_factor)
    return _pil.adjust_contrast(img, contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """0 is without colour, 1 the image."""
    if isinstance(img, Tensor):
        return _color.saturation(img, saturation_factor)
    return _pil.adjust_saturation(img, saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Turn the hue by ``hue_factor`` of the circle, -0.5 to 0.5."""
    if isinstance(img, Tensor):
        return _color.hue(img, hue_factor)
    return _pil.adjust_hue(img, hue_factor)


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """``gain * value ** gamma`` of values in [0, 1]."""
    if isinstance(img, Tensor):
        return _color.gamma(img, gamma, gain)
    return _pil.adjust_gamma(img, gamma, gain)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """0 is blurred, 1 the image."""
    if isinstance(img, Tensor):
        return _color.sharpness(img, sharpness_factor)
    return _pil.adjust_sharpness(img, sharpness_factor)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """A Pillow image without colour."""
    if is_pil(img):
        return _pil.to_grayscale(img, num_output_channels)
    raise TypeError("Input should be PIL Image")


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """The image without colour, in one channel or three equal ones."""
    if isinstance(img, Tensor):
        return _color.grayscale(img, num_output_channels)
    return _pil.to_grayscale(img, num_output_channels)


def invert(img: Any) -> Any:
    """Black for white."""
    return (_color if isinstance(img, Tensor) else _pil).invert(img)


def posterize(img: Any, bits: int) -> Any:
    """Keep the highest ``bits`` bits of each value."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    return (_color if isinstance(img, Tensor) else _pil).posterize(img, bits)


def solarize(img: Any, threshold: float) -> Any:
    """Invert what is at least ``threshold``."""
    return (_color if isinstance(img, Tensor) else _pil).solarize(img, threshold)


def autocontrast(img: Any) -> Any:
    """Stretch each channel from black to white."""
    return (_color if isinstance(img, Tensor) else _pil).autocontrast(img)


def equalize(img: Any) -> Any:
    """Spread the histogram of each channel."""
    return (_color if isinstance(img, Tensor) else _pil).equalize(img)


# Warps


def rotate(
    img: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Any = None,
    fill: Any = None,
) -> Any:
    """Turn by ``angle`` degrees, counter-clockwise, about ``center`` (x, y) or the middle."""
    return turned(img, angle, interpolation_mode(interpolation), expand, center, fill, False)


def turned(
    img: Any,
    angle: float,
    mode: InterpolationMode,
    expand: bool,
    center: Any,
    fill: Any,
    fused: bool,
) -> Any:
    """:func:`rotate` with the roundings of transforms (``fused`` False) or transforms.v2."""
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if not isinstance(img, Tensor):
        return _pil.rotate(img, angle, pil_modes_mapping[mode], expand, center, fill)
    _, height, width = get_dimensions(img)
    middle = _from_middle(center, width, height)
    matrix = _warp.inverse_matrix(middle, -angle, (0.0, 0.0), 1.0, (0.0, 0.0), fused)
    out = _warp.expanded_size(matrix, width, height) if expand else (width, height)
    grid = _warp.affine_grid(matrix, (width, height), out)
    return _warp.sample(img, grid, mode.value, fill, "rotate", fused)


def _from_middle(center: Any, width: int, height: int) -> Sequence[float]:
    return (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)


def shear_pair(shear: Any) -> list[float]:
    """[x, y] degrees of a number (x alone), [both] or [x, y]."""
    if not isinstance(shear, (numbers.Number, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    values = [shear, 0.0] if isinstance(shear, numbers.Number) else list(shear)
    values = values * 2 if len(values) == 1 else values
    if len(values) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {values}")
    return values


def affine(
    img: Any,
    angle: float,
    translate: Any,
    scale: float,
    shear: Any,
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Any = None,
) -> Any:
    """Turn (degrees, clockwise), move (pixels), scale and shear (degrees) about ``center``."""
    mode = interpolation_mode(interpolation)
    return sheared(img, (angle, translate, scale, shear), mode, fill, center, False)


def sheared(
    img: Any, amounts: tuple, mode: InterpolationMode, fill: Any, center: Any, fused: bool
) -> Any:
    """:func:`affine` with the roundings of transforms (``fused`` False) or transforms.v2."""
    angle, translate, scale, shear = amounts
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    shear = shear_pair(shear)
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    _, height, width = get_dimensions(img)
    if not isinstance(img, Tensor):
        middle = (width * 0.5, height * 0.5) if center is None else center
        matrix = _warp.inverse_matrix(middle, angle, translate, scale, shear, fused)
        return _pil.affine(img, matrix, pil_modes_mapping[mode], fill)
    middle = _from_middle(center, width, height)
    matrix = _warp.inverse_matrix(middle, angle, translate, scale, shear, fused)
    grid = _warp.affine_grid(matrix, (width, height), (width, height))
    return _warp.sample(img, grid, mode.value, fill, "affine", fused)


def perspective(
    img: Any,
    startpoints: Sequence,
    endpoints: Sequence,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Move four corners ``startpoints`` (x, y) to ``endpoints``."""
    return project(
        img,
        _warp.perspective_coefficients(startpoints, endpoints),
        interpolation_mode(interpolation),
        fill,
        False,
    )


def project(
    img: Any, coefficients: list[float], mode: InterpolationMode, fill: Any, fused: bool
) -> Any:
    """The projection of eight coefficients."""
    if not isinstance(img, Tensor):
        return _pil.perspective(img, coefficients, pil_modes_mapping[mode], fill)
    _, height, width = get_dimensions(img)
    grid = _warp.perspective_grid(coefficients, width, height)
    return _warp.sample(img, grid, mode.value, fill, "perspective", fused)


def elastic_transform(
    img: Any,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Read each pixel at a displaced position: ``[1, H, W, 2]``, 2 being a whole side."""
    mode = interpolation_mode(interpolation)
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    _, height, width = get_dimensions(img)
    expected = (1, height, width, 2)
    if tuple(displacement.shape) != expected:
        raise ValueError(
            f"Argument displacement shape should be {expected}, but given "
            f"{tuple(displacement.shape)}"
        )
    grid = _warp.identity_grid(width, height) + _tensor.to_array(displacement)[0]
    return through_tensor(
        img, lambda x: _warp.sample(x, grid, mode.value, fill, "elastic_transform")
    )


def through_tensor(img: Any, function: Any) -> Any:
    """Apply a function of tensors; a Pillow image comes back as one."""
    if isinstance(img, Tensor):
        return function(img)
    if not is_pil(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    return to_pil_image(function(pil_to_tensor(img)), mode=img.mode)


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Blur; ``kernel_size`` and ``sigma`` are one number or [x, y], in pixels."""
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(
            f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}"
        )
    taps = [kernel_size, kernel_size] if isinstance(kernel_size, int) else list(kernel_size)
    if len(taps) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(taps)}")
    if any(n % 2 == 0 or n < 0 for n in taps):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {taps}")
    if sigma is None:
        sigma = [n * 0.15 + 0.35 for n in taps]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    deviations = [float(sigma)] if isinstance(sigma, (int, float)) else list(sigma)
    deviations = deviations * 2 if len(deviations) == 1 else deviations
    if len(deviations) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(deviations)}")
    if any(s <= 0.0 for s in deviations):
        raise ValueError(f"sigma should have positive values. Got {deviations}")
    return through_tensor(img, lambda x: _warp.gaussian_blur(x, taps, deviations))


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False) -> Tensor:
    """Put ``v`` in the rectangle of ``h`` rows from ``i`` and ``w`` columns from ``j``."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    erased = _tensor.erase(img, i, j, v, h, w)
    if not inplace:
        return erased
    img.set_value(erased)
    return img


__getattr__ = missing_names(__name__, globals(), {})
