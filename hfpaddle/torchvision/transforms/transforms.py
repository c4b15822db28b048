"""The classes of ``torchvision.transforms``: modules that take an image and return one."""

from __future__ import annotations

import math
import numbers
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle

from hfpaddle.torchvision import _draw
from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision.transforms import _checks, _params
from hfpaddle.torchvision.transforms import functional as F
from hfpaddle.torchvision.transforms._color_modules import (
    ColorJitter,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from hfpaddle.torchvision.transforms._modules import Maybe, Module, Shown, listed, shown
from hfpaddle.torchvision.transforms._tensor import Tensor, to_tensor
from hfpaddle.torchvision.transforms.functional import InterpolationMode

__all__ = [
    "CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype", "ElasticTransform", "FiveCrop",
    "GaussianBlur", "Grayscale", "InterpolationMode", "Lambda", "LinearTransformation",
    "Normalize", "PILToTensor", "Pad", "RandomAdjustSharpness", "RandomAffine", "RandomApply",
    "RandomAutocontrast", "RandomChoice", "RandomCrop", "RandomEqualize", "RandomErasing",
    "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert", "RandomOrder", "RandomPerspective",
    "RandomPosterize", "RandomResizedCrop", "RandomRotation", "RandomSolarize",
    "RandomVerticalFlip", "Resize", "TenCrop", "ToPILImage", "ToTensor",
]  # fmt: skip


# Containers


class Compose:
    """One transform after another."""

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return listed(type(self).__name__, self.transforms)


class RandomTransforms:
    """Base of the containers that choose among ``transforms``."""

    def __init__(self, transforms: Sequence[Callable]) -> None:
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return listed(type(self).__name__, self.transforms)


class RandomApply(Module):
    """All of ``transforms`` with probability ``p``, or none."""

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__()
        self.transforms = transforms
        self.p = p

    def forward(self, img: Any) -> Any:
        if np.float32(self.p) < _draw.rand()[0]:
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return listed(type(self).__name__, self.transforms, f"\n    p={self.p}")


class RandomOrder(RandomTransforms):
    """Every transform, in an order that Python's ``random`` draws."""

    def __call__(self, img: Any) -> Any:
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img


class RandomChoice(RandomTransforms):
    """One transform, which Python's ``random`` draws with weights ``p``."""

    def __init__(self, transforms: Sequence[Callable], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p = p

    def __call__(self, *args: Any) -> Any:
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"


class Lambda:
    """A function of the user's."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


# Between images and tensors


class ToTensor:
    """A Pillow image or array as a tensor ``[C, H, W]``; uint8 becomes floating in [0, 1]."""

    def __call__(self, pic: Any) -> Tensor:
        return F.to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """A Pillow image as a tensor ``[C, H, W]`` of the same values."""

    def __call__(self, pic: Any) -> Tensor:
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """A tensor ``[C, H, W]`` or an array ``[H, W, C]`` as a Pillow image."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return F.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(Module):
    """To another dtype with black and white kept."""

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Normalize(Shown):
    """``(tensor - mean) / std``, one mean and deviation a channel."""

    _fields = ("mean", "std")

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.inplace = mean, std, inplace

    def forward(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)


class LinearTransformation(Module):
    """``(flat image - mean_vector) @ transformation_matrix``, for whitening."""

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        rows, columns = transformation_matrix.shape
        if rows != columns:
            raise ValueError(
                f"transformation_matrix should be square. Got {(rows, columns)} rectangular matrix."
            )
        if mean_vector.shape[0] != rows:
            raise ValueError(
                f"mean_vector should have the same length {mean_vector.shape[0]} as any one of the "
                f"dimensions of the transformation_matrix [{(rows, columns)}]"
            )
        if transformation_matrix.dtype != mean_vector.dtype:
            raise ValueError(
                f"Input tensors should have the same dtype. Got {transformation_matrix.dtype} and "
                f"{mean_vector.dtype}"
            )
        self.transformation_matrix, self.mean_vector = transformation_matrix, mean_vector

    def forward(self, tensor: Tensor) -> Tensor:
        size = math.prod(tensor.shape[-3:])
        if size != self.transformation_matrix.shape[0]:
            raise ValueError(
                "Input tensor and transformation matrix have incompatible shape."
                f"{list(tensor.shape[-3:])} != {self.transformation_matrix.shape[0]}"
            )
        flat = paddle.subtract(paddle.reshape(tensor, [-1, size]), self.mean_vector)
        matrix = paddle.cast(self.transformation_matrix, flat.dtype)
        return paddle.reshape(paddle.matmul(flat, matrix), tensor.shape)


# Sizes and cuts


class Resize(Shown):
    """To ``size``: (height, width), or the length of the shorter side."""

    _fields = ("size", "interpolation", "max_size", "antialias")

    def __init__(
        self,
        size: Any,
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = _mode(interpolation)

    def forward(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


def _mode(interpolation: Any) -> Any:
    is_number = isinstance(interpolation, int)
    return F.interpolation_mode(interpolation) if is_number else interpolation


class CenterCrop(Shown):
    """The middle of the image; a smaller image is padded with 0."""

    _fields = ("size",)

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = _checks.two_sizes(size)

    def forward(self, img: Any) -> Any:
        return F.center_crop(img, self.size)


class Pad(Shown):
    """Add borders: ``padding`` is a number, [x, y] or [left, top, right, bottom]."""

    _fields = ("padding", "fill", "padding_mode")

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        if not isinstance(padding, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ValueError(
                "Padding must be an int or a 1, 2, or 4 element tuple, not a "
                f"{len(padding)} element tuple"
            )
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)


class RandomCrop(Shown):
    """A part of ``size`` (height, width) anywhere in the image, padded before if asked for."""

    _fields = ("size", "padding")

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size = tuple(_checks.two_sizes(size))
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: Sequence[int]) -> tuple[int, int, int, int]:
        """(top, left, height, width)."""
        _, h, w = F.get_dimensions(img)
        th, tw = output_size
        if h < th or w < tw:
            raise ValueError(
                f"Required crop size {(th, tw)} is larger than input image size {(h, w)}"
            )
        if (w, h) == (tw, th):
            return 0, 0, h, w
        top = _draw.randint(0, h - th + 1)
        return top, _draw.randint(0, w - tw + 1), th, tw

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, height, width = F.get_dimensions(img)
        if self.pad_if_needed and width < self.size[1]:
            img = F.pad(img, [self.size[1] - width, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and height < self.size[0]:
            img = F.pad(img, [0, self.size[0] - height], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))


class RandomResizedCrop(Module):
    """A part of random area and shape, resized to ``size``."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = _checks.two_sizes(size)
        _checks.scale_and_ratio(scale, ratio)
        self.scale, self.ratio, self.antialias = scale, ratio, antialias
        self.interpolation = _mode(interpolation)

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """(top, left, height, width)."""
        _, height, width = F.get_dimensions(img)
        return _params.resized_crop(height, width, scale, ratio)

    def forward(self, img: Any) -> Any:
        part = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *part, self.size, self.interpolation, antialias=self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(v, 4) for v in vs) for vs in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


class FiveCrop(Shown):
    """The four corners and the middle, as a tuple."""

    _fields = ("size",)

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = _checks.two_sizes(size)

    def forward(self, img: Any) -> tuple:
        return F.five_crop(img, self.size)


class TenCrop(Shown):
    """Five crops of the image and five of the image flipped, as a tuple."""

    _fields = ("size", "vertical_flip")

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = _checks.two_sizes(size), vertical_flip

    def forward(self, img: Any) -> tuple:
        return F.ten_crop(img, self.size, self.vertical_flip)


class RandomHorizontalFlip(Maybe):
    """Left and right exchanged with probability ``p``."""

    def change(self, img: Any) -> Any:
        return F.hflip(img)


class RandomVerticalFlip(Maybe):
    """Top and bottom exchanged with probability ``p``."""

    def change(self, img: Any) -> Any:
        return F.vflip(img)


class RandomErasing(Shown):
    """Overwrite a rectangle of a tensor image with probability ``p``."""

    _fields = ("p", "scale", "ratio", "value", "inplace")

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        _checks.erasing(value, scale, ratio, p)
        self.p, self.scale, self.ratio = p, scale, ratio
        self.value, self.inplace = value, inplace

    @staticmethod
    def get_params(img: Tensor, scale: Any, ratio: Any, value: Any = None) -> tuple:
        """(top, left, height, width, what to put there); the whole image if nothing fits."""
        channels, height, width = (int(n) for n in img.shape[-3:])
        found = _params.erased(channels, height, width, scale, ratio, value)
        if found is None:
            return 0, 0, height, width, img
        return (*found[:4], to_tensor(found[4]))

    def forward(self, img: Tensor) -> Tensor:
        if not _draw.below(self.p):
            return img
        value = _checks.erasing_value(self.value)
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{img.shape[-3]} (number of input channels)"
            )
        top, left, h, w, v = self.get_params(img, self.scale, self.ratio, value)
        return F.erase(img, top, left, h, w, v, self.inplace)


# Warps


def _fill(fill: Any) -> Any:
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, numbers.Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


def _fill_for(img: Any, fill: Any) -> Any:
    if not isinstance(img, Tensor):
        return fill
    if isinstance(fill, (int, float)):
        return [float(fill)] * F.get_image_num_channels(img)
    return [float(v) for v in fill]


class RandomRotation(Shown):
    """Turn by a random angle in ``degrees``: a number stands for both directions."""

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Any = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = _checks.angles(degrees, "degrees")
        if center is not None:
            _checks.sequence_of(center, "center", (2,))
        self.center, self.expand, self.fill = center, expand, _fill(fill)
        self.interpolation = _mode(interpolation)

    def __repr__(self) -> str:
        center = () if self.center is None else ("center",)
        return shown(self, "degrees", "interpolation", "expand", *center, "fill")

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """An angle."""
        return _draw.uniform(*degrees)

    def forward(self, img: Any) -> Any:
        angle = self.get_params(self.degrees)
        fill = _fill_for(img, self.fill)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, fill)


class RandomAffine(Shown):
    """Turn, move, scale and shear by random amounts."""

    def __init__(
        self,
        degrees: Any,
        translate: Any = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Any = None,
    ) -> None:
        super().__init__()
        self.degrees = _checks.angles(degrees, "degrees")
        _checks.affine_ranges(translate, scale, center)
        self.translate, self.scale, self.center = translate, scale, center
        self.shear = None if shear is None else _checks.angles(shear, "shear", (2, 4))
        self.interpolation, self.fill = _mode(interpolation), _fill(fill)

    def __repr__(self) -> str:
        unset = {"interpolation": InterpolationMode.NEAREST, "fill": 0}
        names = ("translate", "scale", "shear", "interpolation", "fill", "center")
        changed = [name for name in names if getattr(self, name) != unset.get(name)]
        return shown(self, "degrees", *changed)

    @staticmethod
    def get_params(degrees: Any, translate: Any, scale_ranges: Any, shears: Any, img_size: Any):
        """(angle, translation, scale, shear)."""
        return _params.affine(degrees, translate, scale_ranges, shears, img_size)

    def forward(self, img: Any) -> Any:
        size = F.get_image_size(img)
        amounts = self.get_params(self.degrees, self.translate, self.scale, self.shear, size)
        fill = _fill_for(img, self.fill)
        return F.affine(img, *amounts, self.interpolation, fill, self.center)


class RandomPerspective(Maybe):
    """Move the corners inwards by up to ``distortion_scale`` of half a side."""

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__(p)
        self.distortion_scale, self.fill = distortion_scale, _fill(fill)
        self.interpolation = _mode(interpolation)

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list, list]:
        """Four corners, and where they go."""
        return _params.perspective(width, height, distortion_scale)

    def change(self, img: Any) -> Any:
        corners = self.get_params(*F.get_image_size(img), self.distortion_scale)
        return F.perspective(img, *corners, self.interpolation, _fill_for(img, self.fill))


class ElasticTransform(Shown):
    """Move every pixel by smooth noise of strength ``alpha`` and deviation ``sigma``."""

    _fields = ("alpha", "sigma", "interpolation", "fill")

    def __init__(
        self,
        alpha: Any = 50.0,
        sigma: Any = 5.0,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        for name, value in (("alpha", alpha), ("sigma", sigma)):
            if not isinstance(value, (float, Sequence)):
                raise TypeError(
                    f"{name} should be float or a sequence of floats. Got {type(value)}"
                )
        if not isinstance(fill, (int, float, list, tuple)):
            raise TypeError(
                f"fill should be int or float or a list or tuple of them. Got {type(fill)}"
            )
        self.alpha, self.sigma = (
            _checks.two_floats(alpha, "alpha"),
            _checks.two_floats(sigma, "sigma"),
        )
        self.fill = [float(fill)] if isinstance(fill, (int, float)) else [float(v) for v in fill]
        self.interpolation = _mode(interpolation)

    @staticmethod
    def get_params(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Tensor:
        """A displacement ``[1, H, W, 2]`` for an image of ``size`` (height, width)."""
        parts = []
        for strength, deviation, side in zip(alpha, sigma, (size[1], size[0]), strict=True):
            field = to_tensor(_params.noise_field(*size))
            if deviation > 0.0:
                taps = int(8 * deviation + 1) | 1
                field = F.gaussian_blur(field, [taps, taps], list(sigma))
            parts.append(field * strength / side)
        return paddle.transpose(paddle.concat(parts, 1), [0, 2, 3, 1])

    def forward(self, tensor: Any) -> Any:
        size = F.get_dimensions(tensor)[1:]
        displacement = self.get_params(self.alpha, self.sigma, size)
        return F.elastic_transform(tensor, displacement, self.interpolation, self.fill)


class GaussianBlur(Shown):
    """Blur with a kernel of ``kernel_size`` taps and a random deviation in ``sigma``."""

    _fields = ("kernel_size", "sigma")

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = _checks.odd_sizes(kernel_size)
        self.sigma = _checks.blur_sigma(sigma)

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A deviation."""
        return _draw.uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])


__getattr__ = missing_names(__name__, globals(), {})
