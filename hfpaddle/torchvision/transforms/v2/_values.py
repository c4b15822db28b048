"""Colours, types and containers of ``torchvision.transforms.v2``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle

from hfpaddle.torchvision import _draw, tv_tensors
from hfpaddle.torchvision._pillow import Image
from hfpaddle.torchvision.transforms import _checks, _params
from hfpaddle.torchvision.transforms import transforms as v1
from hfpaddle.torchvision.transforms._tensor import Tensor
from hfpaddle.torchvision.transforms.v2 import functional as F
from hfpaddle.torchvision.transforms.v2._base import (
    RandomTransform,
    Transform,
    kind_of,
    no_pictures,
    query_chw,
)
from hfpaddle.torchvision.transforms.v2.functional import is_pure_tensor

Params = dict[str, Any]

# Containers


class _Container(Transform):
    def __init__(self, transforms: Sequence[Callable]) -> None:
        super().__init__()
        if not isinstance(transforms, (Sequence, paddle.nn.LayerList)):
            raise TypeError("Argument transforms should be a sequence of callables")
        if not len(transforms):
            raise ValueError("Pass at least one transform")
        self.transforms = transforms

    def _through(self, inputs: tuple, order: Any) -> Any:
        out = inputs if len(inputs) > 1 else inputs[0]
        for i in order:
            out = self.transforms[i](*out) if len(inputs) > 1 else self.transforms[i](out)
        return out

    def _listed(self) -> str:
        return "\n".join(f"    {t}" for t in self.transforms)


class Compose(_Container):
    """One transform after another."""

    def extra_repr(self) -> str:
        return self._listed()

    def forward(self, *inputs: Any) -> Any:
        return self._through(inputs, range(len(self.transforms)))


class RandomApply(_Container):
    """All of ``transforms`` with probability ``p``, or none."""

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def extra_repr(self) -> str:
        return self._listed()

    def forward(self, *inputs: Any) -> Any:
        used = len(self.transforms) if _draw.below(self.p) else 0
        return self._through(inputs, range(used))


class RandomChoice(_Container):
    """One transform, drawn with weights ``p``."""

    def __init__(self, transforms: Sequence[Callable], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        weights = [1] * len(transforms) if p is None else p
        if len(weights) != len(transforms):
            raise ValueError(
                f"Length of p doesn't match the number of transforms: {len(weights)} != "
                f"{len(transforms)}"
            )
        self.p = [weight / sum(weights) for weight in weights]

    def forward(self, *inputs: Any) -> Any:
        return self.transforms[_draw.choice(self.p)](*inputs)


class RandomOrder(_Container):
    """Every transform, in random order."""

    def forward(self, *inputs: Any) -> Any:
        return self._through(inputs, _draw.randperm(len(self.transforms)))


class Identity(Transform):
    """Changes nothing."""

    def transform(self, inpt: Any, params: Params) -> Any:
        return inpt


class Lambda(Transform):
    """A function of the user's, of the inputs of some ``types``."""

    _transformed_types = (object,)

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        super().__init__()
        self.lambd, self.types = lambd, types or self._transformed_types

    def transform(self, inpt: Any, params: Params) -> Any:
        return self.lambd(inpt) if isinstance(inpt, self.types) else inpt

    def extra_repr(self) -> str:
        name = getattr(self.lambd, "__name__", None)
        types = f"types={[kind.__name__ for kind in self.types]}"
        return f"{name}, {types}" if name else types


# Types


class PILToTensor(Transform):
    """A Pillow image as a tensor ``[C, H, W]`` of the same values."""

    _transformed_types = (Image.Image,)

    def transform(self, inpt: Any, params: Params) -> Any:
        return F.pil_to_tensor(inpt)


class ToImage(Transform):
    """A Pillow image, an array ``[H, W, C]`` or a tensor as an Image (tv_tensors)."""

    _transformed_types = (is_pure_tensor, Image.Image, np.ndarray)

    def transform(self, inpt: Any, params: Params) -> Any:
        return F.to_image(inpt)


class ToPILImage(Transform):
    """A tensor ``[C, H, W]`` or an array ``[H, W, C]`` as a Pillow image."""

    _transformed_types = (is_pure_tensor, tv_tensors.Image, np.ndarray)

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = mode

    def transform(self, inpt: Any, params: Params) -> Any:
        return F.to_pil_image(inpt, mode=self.mode)


class ToPureTensor(Transform):
    """An Image as a tensor without the mark."""

    _transformed_types = (tv_tensors.TVTensor,)

    def transform(self, inpt: Any, params: Params) -> Any:
        return tv_tensors.pure(inpt)


class ToTensor(Transform):
    """A Pillow image or array as a tensor ``[C, H, W]``; uint8 becomes floating in [0, 1]."""

    _transformed_types = (Image.Image, np.ndarray)

    def __init__(self) -> None:
        warnings.warn(
            "The transform `ToTensor()` is deprecated and will be removed in a future release. "
            "Instead, please use `v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, "
            "scale=True)])`. Output is equivalent up to float precision.",
            stacklevel=2,
        )
        super().__init__()

    def transform(self, inpt: Any, params: Params) -> Any:
        return F.to_tensor(inpt)


class ToDtype(Transform):
    """To another dtype; with ``scale`` black and white are kept."""

    _transformed_types = (Tensor,)

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        if not isinstance(dtype, (dict, paddle.dtype)):
            raise ValueError(f"dtype must be a dict or a torch.dtype, got {type(dtype)} instead")
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: Params) -> Any:
        dtype = self.dtype
        if isinstance(dtype, dict):
            kind = kind_of(inpt)
            if kind not in dtype and "others" not in dtype:
                raise ValueError(
                    f"No dtype was specified for type {kind}. Pass one dtype, or give 'others' a "
                    "value."
                )
            dtype = dtype.get(kind, dtype.get("others"))
        if dtype is None:
            if self.scale:
                warnings.warn(
                    "scale was set to True but no dtype was specified for images or videos: no "
                    "scaling will be done.",
                    stacklevel=2,
                )
            return inpt
        return self._call_kernel(F.to_dtype, inpt, dtype, self.scale)


class ConvertImageDtype(Transform):
    """To another dtype with black and white kept."""

    def __init__(self, dtype: Any = paddle.float32) -> None:
        super().__init__()
        self.dtype = dtype

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.to_dtype, inpt, self.dtype, True)


class Normalize(Transform):
    """``(image - mean) / std``, one mean and deviation a channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.inplace = list(mean), list(std), inplace

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        no_pictures(self, flat_inputs)

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.normalize, inpt, self.mean, self.std, self.inplace)


class LinearTransformation(Transform):
    """``(flat image - mean_vector) @ transformation_matrix``, for whitening."""

    _transformed_types = (Tensor,)

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        self._apply_matrix = v1.LinearTransformation(transformation_matrix, mean_vector)

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        no_pictures(self, flat_inputs)

    def transform(self, inpt: Any, params: Params) -> Any:
        return tv_tensors.wrap(self._apply_matrix(inpt), like=inpt)


class GaussianBlur(Transform):
    """Blur with a kernel of ``kernel_size`` taps and a random deviation in ``sigma``."""

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = _checks.odd_sizes(kernel_size)
        self.sigma = _checks.two_floats(sigma, "sigma")
        if not 0.0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(
                f"sigma values should be positive and of the form (min, max). Got {self.sigma}"
            )

    def make_params(self, flat_inputs: list[Any]) -> Params:
        return {"sigma": [_draw.uniform(*self.sigma)] * 2}

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.gaussian_blur, inpt, self.kernel_size, params["sigma"])


class GaussianNoise(Transform):
    """Add normal noise of ``mean`` and ``sigma``, in parts of white."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        super().__init__()
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.gaussian_noise, inpt, self.mean, self.sigma, self.clip)


# Colours

_ADJUST = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


def _range(value: Any, name: str, **limits: Any) -> tuple[float, float] | None:
    return None if value is None else _checks.jitter(value, name, **limits)


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue by random factors, in random order."""

    def __init__(
        self, brightness: Any = None, contrast: Any = None, saturation: Any = None, hue: Any = None
    ) -> None:
        super().__init__()
        self.brightness = _range(brightness, "brightness")
        self.contrast = _range(contrast, "contrast")
        self.saturation = _range(saturation, "saturation")
        self.hue = _range(hue, "hue", center=0, bound=(-0.5, 0.5), clip=False)

    def make_params(self, flat_inputs: list[Any]) -> Params:
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        order, factors = _params.jitter(ranges)
        return {"order": order, "factors": factors}

    def transform(self, inpt: Any, params: Params) -> Any:
        for i in params["order"]:
            if params["factors"][i] is not None:
                inpt = self._call_kernel(_ADJUST[i], inpt, params["factors"][i])
        return inpt


class Grayscale(Transform):
    """The image without colour, in one channel or three equal ones."""

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.rgb_to_grayscale, inpt, self.num_output_channels)


class RandomGrayscale(RandomTransform):
    """Without colour with probability ``p``, in as many channels as before."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def make_params(self, flat_inputs: list[Any]) -> Params:
        return {"channels": query_chw(flat_inputs)[0]}

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.rgb_to_grayscale, inpt, params["channels"])


class RGB(Transform):
    """Three channels; an image that has them stays as it is."""

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.grayscale_to_rgb, inpt)


class RandomChannelPermutation(Transform):
    """Channels in random order."""

    def make_params(self, flat_inputs: list[Any]) -> Params:
        return {"order": _draw.randperm(query_chw(flat_inputs)[0])}

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.permute_channels, inpt, params["order"])


class RandomInvert(RandomTransform):
    """Black for white with probability ``p``."""

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.invert, inpt)


class RandomPosterize(RandomTransform):
    """Keep the highest ``bits`` bits with probability ``p``."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.posterize, inpt, self.bits)


class RandomSolarize(RandomTransform):
    """Invert what is at least ``threshold`` with probability ``p``."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.solarize, inpt, self.threshold)


class RandomAdjustSharpness(RandomTransform):
    """Blur or sharpen with probability ``p``."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.adjust_sharpness, inpt, self.sharpness_factor)


class RandomAutocontrast(RandomTransform):
    """Stretch each channel from black to white with probability ``p``."""

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.autocontrast, inpt)


class RandomEqualize(RandomTransform):
    """Spread the histogram of each channel with probability ``p``."""

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.equalize, inpt)
