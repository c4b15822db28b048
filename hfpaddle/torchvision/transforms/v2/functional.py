"""``torchvision.transforms.v2.functional``: of Pillow images and of tensors ``[..., C, H, W]``.

Where its numbers are those of transforms.functional, the function is the same. What differs: uint8
images are resized in integers, colours are rounded in other places, padding takes a colour.
An Image (tv_tensors) gives an Image.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from hfpaddle.torchvision import _draw, tv_tensors
from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision._pillow import is_pil
from hfpaddle.torchvision.transforms import _color, _pil, _resize, _tensor, _warp
from hfpaddle.torchvision.transforms import functional as F
from hfpaddle.torchvision.transforms._tensor import Tensor
from hfpaddle.torchvision.transforms.functional import (
    InterpolationMode,
    pil_modes_mapping,
    pil_to_tensor,
    to_pil_image,
)
from hfpaddle.torchvision.transforms.functional import to_tensor as to_tensor

_MODES = {mode.value: mode for mode in InterpolationMode if mode.name not in ("BOX", "HAMMING")}


def is_pure_tensor(inpt: Any) -> bool:
    """Whether it is a tensor and no Image."""
    return isinstance(inpt, Tensor) and not isinstance(inpt, tv_tensors.Image)


def _kernel(function: Callable, pictures: bool = True) -> Callable:
    """Refuse what is no tensor (nor Pillow image), and give an Image for an Image."""
    kinds = "torch.Tensor, tv_tensors.Image" + (", PIL.Image.Image" if pictures else "")

    @functools.wraps(function)
    def checked(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(inpt, Tensor) and not (pictures and is_pil(inpt)):
            raise TypeError(
                f"Functional F.{function.__name__} supports inputs of type {kinds}, but got "
                f"{type(inpt)} instead."
            )
        out = function(inpt, *args, **kwargs)
        if not isinstance(inpt, tv_tensors.Image):
            return out
        return tuple(map(_mark, out)) if isinstance(out, tuple) else _mark(out)

    return checked


_of_tensors = functools.partial(_kernel, pictures=False)


def _mark(out: Any) -> Any:
    return tv_tensors.marked(out) if is_pure_tensor(out) else out


def _mode(interpolation: Any) -> InterpolationMode:
    if isinstance(interpolation, str):
        if interpolation not in _MODES:
            raise ValueError(
                f"Invalid interpolation mode: '{interpolation}'. Supported string values are: "
                f"{list(_MODES)}."
            )
        return _MODES[interpolation]
    if not isinstance(interpolation, (int, InterpolationMode)):
        raise ValueError(
            "Argument interpolation should be an `InterpolationMode` or a corresponding Pillow "
            f"integer constant, but got {interpolation}."
        )
    return F.interpolation_mode(interpolation)


# What it is


def get_dimensions(inpt: Any) -> list[int]:
    """[channels, height, width]."""
    return F.get_dimensions(inpt)


def get_num_channels(inpt: Any) -> int:
    """Number of channels."""
    return F.get_image_num_channels(inpt)


get_image_num_channels = get_num_channels


def get_size(inpt: Any) -> list[int]:
    """[height, width]."""
    return F.get_dimensions(inpt)[1:]


def get_image_size(inpt: Any) -> list[int]:
    """[width, height]; the old name of another order."""
    warnings.warn(
        "The function `get_image_size(...)` is deprecated. Please use `get_size(...)`, which "
        "returns [h, w].",
        stacklevel=2,
    )
    return F.get_image_size(inpt)


def to_image(inpt: Any) -> Tensor:
    """A Pillow image, an array ``[H, W, C]`` or a tensor as an Image of the same values."""
    if isinstance(inpt, np.ndarray):
        inpt = _tensor.to_tensor(np.transpose(np.atleast_3d(inpt), (2, 0, 1)))
    elif is_pil(inpt):
        inpt = pil_to_tensor(inpt)
    elif not isinstance(inpt, Tensor):
        raise TypeError(
            "Input can either be a pure Tensor, a numpy array, or a PIL image, but got "
            f"{type(inpt)} instead."
        )
    return tv_tensors.Image(inpt)


@_of_tensors
def to_dtype(inpt: Tensor, dtype: Any = "float32", scale: bool = False) -> Tensor:
    """To another dtype; with ``scale`` black and white are kept."""
    if scale:
        return _tensor.convert_dtype(inpt, dtype, fused=True)
    return _tensor.cast(inpt, dtype)


def convert_image_dtype(image: Tensor, dtype: Any = "float32") -> Tensor:
    """To another dtype with black and white kept."""
    return to_dtype(image, dtype, scale=True)


@_of_tensors
def normalize(inpt: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """``(inpt - mean) / std``, one mean and deviation a channel."""
    return _tensor.normalize(inpt, mean, std, inplace)


# Sizes and cuts


@_kernel
def resize(
    inpt: Any,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """To ``size``: (height, width), or the shorter side; None makes the longer ``max_size``."""
    mode = _mode(interpolation)
    size = [size] if isinstance(size, int) else size
    if max_size is not None and size is not None and len(size) != 1:
        raise ValueError(
            "max_size should only be passed if size is None or specifies the length of the smaller "
            "edge, i.e. size should be an int or a sequence of length 1 in torchscript mode."
        )
    _, height, width = F.get_dimensions(inpt)
    new = F.resized_size(size, height, width, max_size, none_too=True)
    if is_pil(inpt) and antialias is False:
        warnings.warn(
            "Anti-alias option is always applied for PIL Image input. Argument antialias is "
            "ignored.",
            stacklevel=3,
        )
    if new == [height, width]:
        return inpt
    if is_pil(inpt):
        return _pil.resize(inpt, new, pil_modes_mapping[mode])
    return _resize.resize_native(inpt, new, mode.value, antialias)


@_kernel
def pad(inpt: Any, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    """Add borders, as ``transforms.functional.pad``; ``fill`` may be one number a channel."""
    if is_pil(inpt):
        return _pil.pad(inpt, padding, fill, padding_mode)
    if not isinstance(fill, (list, tuple)):
        return _tensor.pad(inpt, padding, fill, padding_mode)
    if len(fill) == 1:
        return _tensor.pad(inpt, padding, fill[0], padding_mode)
    if padding_mode != "constant":
        raise ValueError(f"Padding mode '{padding_mode}' is not supported if fill is not scalar")
    if len(fill) != inpt.shape[-3]:
        raise RuntimeError(f"pad: fill has {len(fill)} values, the image {inpt.shape[-3]} channels")
    channels = paddle.split(inpt, len(fill), axis=-3)
    padded = [_tensor.pad(c, padding, v) for c, v in zip(channels, fill, strict=True)]
    return paddle.concat(padded, axis=-3)


crop = _kernel(F.crop)
center_crop = _kernel(F.center_crop)
five_crop = _kernel(F.five_crop)
ten_crop = _kernel(F.ten_crop)
horizontal_flip = hflip = _kernel(F.hflip)
vertical_flip = vflip = _kernel(F.vflip)


def resized_crop(
    inpt: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """Crop, then resize."""
    part = crop(inpt, top, left, height, width)
    return resize(part, size, interpolation, antialias=antialias)


@_kernel
def erase(inpt: Any, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False) -> Any:
    """Put ``v`` in a rectangle; a Pillow image comes back as one."""
    return F.through_tensor(inpt, lambda x: F.erase(x, i, j, h, w, v, inplace))


# Colours


def _colour(name: str, *parameters: str, doc: str, key: str | None = None) -> Callable:
    """The function ``name`` of a Pillow image or a tensor, with the original's parameter names."""
    of_tensors = getattr(_color, key or name)
    of_pictures = getattr(_pil, name)

    def adjust(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(parameters, args, strict=False)) | kwargs
        if len(args) > len(parameters) or not set(given) <= set(parameters):
            raise TypeError(f"{name}() takes {('inpt', *parameters)}, not {(*args, *kwargs)}")
        values = [given[parameter] for parameter in parameters if parameter in given]
        if is_pil(inpt):
            return of_pictures(inpt, *values)
        return of_tensors(inpt, *values, fused=True)

    adjust.__name__ = adjust.__qualname__ = name
    adjust.__doc__ = doc
    return _kernel(adjust)


def _factor(what: str, doc: str) -> Callable:
    return _colour(f"adjust_{what}", f"{what}_factor", doc=doc, key=what)


adjust_brightness = _factor("brightness", "0 is black, 1 the image.")
adjust_contrast = _factor("contrast", "0 is gray, 1 the image.")
adjust_saturation = _factor("saturation", "0 is without colour, 1 the image.")
adjust_hue = _factor("hue", "Turn the hue by a part of the circle, -0.5 to 0.5.")
adjust_sharpness = _factor("sharpness", "0 is blurred, 1 the image.")
adjust_gamma = _colour("adjust_gamma", "gamma", "gain", doc="``gain * x ** gamma``.", key="gamma")
invert = _colour("invert", doc="Black for white.")
posterize = _colour("posterize", "bits", doc="Keep the highest ``bits`` bits of each value.")
solarize = _colour("solarize", "threshold", doc="Invert what is at least ``threshold``.")
autocontrast = _colour("autocontrast", doc="Stretch each channel from black to white.")
equalize = _colour("equalize", doc="Spread the histogram of each channel.")


@_kernel
def rgb_to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """The image without colour, in one channel or three equal ones."""
    if is_pil(inpt):
        return _pil.to_grayscale(inpt, num_output_channels)
    return _color.grayscale(inpt, num_output_channels, fused=True)


to_grayscale = rgb_to_grayscale


@_kernel
def grayscale_to_rgb(inpt: Any) -> Any:
    """Three channels; an image that has them stays as it is."""
    if is_pil(inpt):
        return inpt.convert("RGB")
    return inpt if inpt.shape[-3] >= 3 else _color.grayscale(inpt, 3, fused=True)


@_kernel
def permute_channels(inpt: Any, permutation: Any) -> Any:
    """Channels in another order."""
    order = [int(i) for i in permutation]
    if len(order) != F.get_image_num_channels(inpt):
        raise ValueError(
            f"Length of permutation does not match number of channels: {len(order)} != "
            f"{F.get_image_num_channels(inpt)}"
        )
    if is_pil(inpt):
        return to_pil_image(permute_channels(pil_to_tensor(inpt), order))
    return _tensor.take(inpt, np.array(order), -3)


# Warps


@_kernel
def rotate(
    inpt: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Any = None,
    fill: Any = None,
) -> Any:
    """Turn by ``angle`` degrees, counter-clockwise; quarter turns of tensors are exact."""
    if isinstance(inpt, Tensor) and center is None:
        turns, rest = divmod(angle % 360, 90)
        square = inpt.shape[-1] == inpt.shape[-2]
        if rest == 0 and (turns % 2 == 0 or expand or square):
            return _tensor.rot90(inpt, int(turns)) if turns else inpt.clone()
    return F.turned(inpt, angle, _mode(interpolation), expand, center, fill, True)


@_kernel
def affine(
    inpt: Any,
    angle: float,
    translate: Any,
    scale: float,
    shear: Any,
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Any = None,
) -> Any:
    """Turn (degrees, clockwise), move (pixels), scale and shear (degrees) about ``center``."""
    amounts = (angle, translate, scale, shear)
    return F.sheared(inpt, amounts, _mode(interpolation), fill, center, True)


@_kernel
def perspective(
    inpt: Any,
    startpoints: Any,
    endpoints: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
    coefficients: Any = None,
) -> Any:
    """Move four corners ``startpoints`` to ``endpoints``, or project by eight coefficients."""
    if coefficients is None:
        if startpoints is None or endpoints is None:
            raise ValueError(
                "Either the startpoints/endpoints or the coefficients must have non `None` values."
            )
        coefficients = _warp.perspective_coefficients(startpoints, endpoints)
    elif startpoints is not None and endpoints is not None:
        raise ValueError(
            "The startpoints/endpoints and the coefficients shouldn't be defined concurrently."
        )
    elif len(coefficients) != 8:
        raise ValueError("Argument coefficients should have 8 float values")
    return F.project(inpt, coefficients, _mode(interpolation), fill, True)


@_kernel
def elastic(
    inpt: Any,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Read each pixel at a displaced position."""
    return F.elastic_transform(inpt, displacement, _mode(interpolation), fill)


elastic_transform = elastic
gaussian_blur = _kernel(F.gaussian_blur)


@_kernel
def gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    """Add normal noise of ``mean`` and ``sigma``, in parts of white."""
    if is_pil(inpt):
        raise ValueError("Gaussian Noise is not implemented for PIL images.")
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    floating = _tensor.is_floating(inpt.dtype)
    if not floating and inpt.dtype is not paddle.uint8:
        raise ValueError(
            f"Input tensor is expected to be in uint8 or float dtype, got dtype={inpt.dtype}"
        )
    noise = _draw.normal([int(n) for n in inpt.shape])
    if floating:
        added = _tensor.to_tensor(noise * np.float32(sigma) + np.float32(mean), like=inpt)
        out = inpt + _tensor.cast(added, inpt.dtype)
        return paddle.clip(out, 0, 1) if clip else out
    steps = (mean * 255 + noise * np.float32(sigma * 255)).astype(np.float32).astype(np.int16)

    def add(array: np.ndarray) -> np.ndarray:
        total = array.astype(np.int16) + steps
        return (np.clip(total, 0, 255) if clip else total).astype(np.uint8)

    return _tensor.on_host(inpt, "gaussian_noise", add)


_BOXES = "Boxes, masks, key points and videos are not transformed here."
__getattr__ = missing_names(
    __name__,
    globals(),
    {
        **dict.fromkeys(
            ("clamp_bounding_boxes", "convert_bounding_box_format", "sanitize_bounding_boxes"),
            _BOXES,
        ),
        **{"jpeg": "Use torchvision.io.encode_jpeg.", "uniform_temporal_subsample": _BOXES},
    },
)
