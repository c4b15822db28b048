"""Sizes, cuts and warps of ``torchvision.transforms.v2``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle

from hfpaddle.torchvision import _draw
from hfpaddle.torchvision.transforms import _checks, _params
from hfpaddle.torchvision.transforms._pil import PADDING_MODES, four_sides
from hfpaddle.torchvision.transforms._tensor import to_tensor
from hfpaddle.torchvision.transforms._warp import perspective_coefficients
from hfpaddle.torchvision.transforms.v2 import functional as F
from hfpaddle.torchvision.transforms.v2._base import (
    RandomTransform,
    Transform,
    fill_for,
    fill_of,
    query_chw,
    query_size,
)

Params = dict[str, Any]


class RandomHorizontalFlip(RandomTransform):
    """Left and right exchanged with probability ``p``."""

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.horizontal_flip, inpt)


class RandomVerticalFlip(RandomTransform):
    """Top and bottom exchanged with probability ``p``."""

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.vertical_flip, inpt)


class Resize(Transform):
    """To ``size``: (height, width), or the shorter side; None makes the longer ``max_size``."""

    def __init__(
        self,
        size: Any,
        interpolation: Any = "bilinear",
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if isinstance(size, int):
            size = [size]
        elif isinstance(size, Sequence) and len(size) in (1, 2):
            size = list(size)
        elif size is not None:
            raise ValueError(
                "size can be an integer, a sequence of one or two integers, or None, but got "
                f"{size} instead."
            )
        elif not isinstance(max_size, int):
            raise ValueError(
                f"max_size must be an integer when size is None, but got {max_size} instead."
            )
        self.size, self.interpolation = size, interpolation
        self.max_size, self.antialias = max_size, antialias

    def transform(self, inpt: Any, params: Params) -> Any:
        options = (self.size, self.interpolation, self.max_size, self.antialias)
        return self._call_kernel(F.resize, inpt, *options)


class CenterCrop(Transform):
    """The middle of the image; a smaller image is padded with 0."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = _checks.two_sizes(size)

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.center_crop, inpt, self.size)


class RandomResizedCrop(Transform):
    """A part of random area and shape, resized to ``size``."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = _checks.two_sizes(size)
        _checks.scale_and_ratio(scale, ratio)
        self.scale, self.ratio = scale, ratio
        self.interpolation, self.antialias = interpolation, antialias

    def make_params(self, flat_inputs: list[Any]) -> Params:
        height, width = query_size(flat_inputs)
        part = _params.resized_crop(height, width, self.scale, self.ratio)
        return dict(zip(("top", "left", "height", "width"), part, strict=True))

    def transform(self, inpt: Any, params: Params) -> Any:
        options = {"interpolation": self.interpolation, "antialias": self.antialias}
        return self._call_kernel(F.resized_crop, inpt, **params, size=self.size, **options)


class FiveCrop(Transform):
    """The four corners and the middle, as a tuple."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = _checks.two_sizes(size)

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.five_crop, inpt, self.size)


class TenCrop(Transform):
    """Five crops of the image and five of the image flipped, as a tuple."""

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = _checks.two_sizes(size), vertical_flip

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.ten_crop, inpt, self.size, self.vertical_flip)


def _check_padding(padding: Any, padding_mode: str) -> None:
    whole = isinstance(padding, int) or (
        isinstance(padding, (tuple, list))
        and len(padding) in (1, 2, 4)
        and all(isinstance(p, int) for p in padding)
    )
    if not whole:
        raise ValueError(
            f"Padding must be an int or a 1, 2, or 4 element of tuple or list, got {padding}."
        )
    if padding_mode not in PADDING_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")


class Pad(Transform):
    """Add borders: ``padding`` is a number, [x, y] or [left, top, right, bottom]."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        _check_padding(padding, padding_mode)
        self.padding = padding if isinstance(padding, int) else list(padding)
        self.fill, self._fill = fill, fill_of(fill)
        self.padding_mode = padding_mode

    def transform(self, inpt: Any, params: Params) -> Any:
        fill = fill_for(self._fill, inpt)
        return self._call_kernel(F.pad, inpt, self.padding, fill, self.padding_mode)


class RandomCrop(Transform):
    """A part of ``size`` anywhere in the image, padded before if asked for."""

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size = _checks.two_sizes(size)
        if pad_if_needed or padding is not None:
            _check_padding(0 if padding is None else padding, padding_mode)
        self.padding = four_sides(padding) if padding else None
        self.pad_if_needed, self.fill, self.padding_mode = pad_if_needed, fill, padding_mode
        self._fill = fill_of(fill)

    def make_params(self, flat_inputs: list[Any]) -> Params:
        size = query_size(flat_inputs)
        left, right, top, bottom = self.padding or (0, 0, 0, 0)
        sides = [[top, bottom], [left, right]]
        starts, padded = [], [n + sum(side) for n, side in zip(size, sides, strict=True)]
        for axis in (0, 1):
            lack = self.size[axis] - padded[axis]
            if self.pad_if_needed and lack > 0:
                sides[axis] = [side + lack for side in sides[axis]]
                padded[axis] += 2 * lack
        if padded[0] < self.size[0] or padded[1] < self.size[1]:
            raise ValueError(
                f"Required crop size {tuple(self.size)} is larger than "
                f"{'padded ' if self.padding is not None else ''}input image size {tuple(padded)}."
            )
        for axis in (0, 1):
            room = padded[axis] - self.size[axis]
            starts.append(_draw.randint(0, room + 1) if room else 0)
        padding = [sides[1][0], sides[0][0], sides[1][1], sides[0][1]]
        crop = (*starts, *self.size) if padded != list(self.size) else None
        return {"padding": padding, "crop": crop}

    def transform(self, inpt: Any, params: Params) -> Any:
        if any(params["padding"]):
            fill = fill_for(self._fill, inpt)
            inpt = self._call_kernel(F.pad, inpt, params["padding"], fill, self.padding_mode)
        if params["crop"] is not None:
            inpt = self._call_kernel(F.crop, inpt, *params["crop"])
        return inpt


class RandomErasing(RandomTransform):
    """Overwrite a rectangle with probability ``p``."""

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0.0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        _checks.erasing(value, scale, ratio, p)
        self.scale, self.ratio = scale, ratio
        self.value, self.inplace = _checks.erasing_value(value), inplace

    def make_params(self, flat_inputs: list[Any]) -> Params:
        channels, height, width = query_chw(flat_inputs)
        if self.value is not None and len(self.value) not in (1, channels):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{channels} (number of inpt channels)"
            )
        found = _params.erased(channels, height, width, self.scale, self.ratio, self.value)
        if found is None:
            return {"v": None}
        return dict(zip("ijhw", found[:4], strict=True)) | {"v": to_tensor(found[4])}

    def transform(self, inpt: Any, params: Params) -> Any:
        if params["v"] is None:
            return inpt
        return self._call_kernel(F.erase, inpt, **params, inplace=self.inplace)


class RandomRotation(Transform):
    """Turn by a random angle in ``degrees``: a number stands for both directions."""

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = "nearest",
        expand: bool = False,
        center: Any = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = _checks.angles(degrees, "degrees")
        if center is not None:
            _checks.sequence_of(center, "center", (2,))
        self.interpolation, self.expand = interpolation, expand
        self.fill, self._fill = fill, fill_of(fill)
        self.center = center

    def make_params(self, flat_inputs: list[Any]) -> Params:
        return {"angle": _draw.uniform(*self.degrees)}

    def transform(self, inpt: Any, params: Params) -> Any:
        options = (self.interpolation, self.expand, self.center, fill_for(self._fill, inpt))
        return self._call_kernel(F.rotate, inpt, params["angle"], *options)


class RandomAffine(Transform):
    """Turn, move, scale and shear by random amounts."""

    def __init__(
        self,
        degrees: Any,
        translate: Any = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: Any = "nearest",
        fill: Any = 0,
        center: Any = None,
    ) -> None:
        super().__init__()
        self.degrees = _checks.angles(degrees, "degrees")
        _checks.affine_ranges(translate, scale, center)
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else _checks.angles(shear, "shear", (2, 4))
        self.interpolation = interpolation
        self.fill, self._fill = fill, fill_of(fill)
        self.center = center

    def make_params(self, flat_inputs: list[Any]) -> Params:
        height, width = query_size(flat_inputs)
        ranges = (self.degrees, self.translate, self.scale, self.shear)
        amounts = _params.affine(*ranges, (width, height))
        return dict(zip(("angle", "translate", "scale", "shear"), amounts, strict=True))

    def transform(self, inpt: Any, params: Params) -> Any:
        options = (self.interpolation, fill_for(self._fill, inpt), self.center)
        return self._call_kernel(F.affine, inpt, *params.values(), *options)


class RandomPerspective(RandomTransform):
    """Move the corners inwards by up to ``distortion_scale`` of half a side."""

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = "bilinear",
        fill: Any = 0,
    ) -> None:
        super().__init__(p)
        if not 0 <= distortion_scale <= 1:
            raise ValueError("Argument distortion_scale value should be between 0 and 1")
        self.distortion_scale, self.interpolation = distortion_scale, interpolation
        self.fill, self._fill = fill, fill_of(fill)

    def make_params(self, flat_inputs: list[Any]) -> Params:
        height, width = query_size(flat_inputs)
        corners = _params.perspective(width, height, self.distortion_scale)
        return {"coefficients": perspective_coefficients(*corners)}

    def transform(self, inpt: Any, params: Params) -> Any:
        fill = fill_for(self._fill, inpt)
        return self._call_kernel(
            F.perspective, inpt, None, None, self.interpolation, fill, params["coefficients"]
        )


class ElasticTransform(Transform):
    """Move every pixel by smooth noise of strength ``alpha`` and deviation ``sigma``."""

    def __init__(
        self,
        alpha: Any = 50.0,
        sigma: Any = 5.0,
        interpolation: Any = "bilinear",
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.alpha = _checks.two_floats(alpha, "alpha")
        self.sigma = _checks.two_floats(sigma, "sigma")
        self.interpolation = interpolation
        self.fill, self._fill = fill, fill_of(fill)

    def make_params(self, flat_inputs: list[Any]) -> Params:
        height, width = query_size(flat_inputs)
        parts = []
        for alpha, sigma, side in zip(self.alpha, self.sigma, (width, height), strict=True):
            field = to_tensor(_params.noise_field(height, width))
            if sigma > 0.0:
                taps = int(8 * sigma + 1) | 1
                field = F.gaussian_blur(field, [taps, taps], list(self.sigma))
            parts.append(field * alpha / side)
        return {"displacement": paddle.transpose(paddle.concat(parts, 1), [0, 2, 3, 1])}

    def transform(self, inpt: Any, params: Params) -> Any:
        fill = fill_for(self._fill, inpt)
        return self._call_kernel(F.elastic, inpt, params["displacement"], self.interpolation, fill)


class _Rescale(Transform):
    def __init__(self, interpolation: Any, antialias: bool | None) -> None:
        super().__init__()
        self.interpolation, self.antialias = interpolation, antialias

    def transform(self, inpt: Any, params: Params) -> Any:
        options = {"interpolation": self.interpolation, "antialias": self.antialias}
        return self._call_kernel(F.resize, inpt, params["size"], **options)


class RandomResize(_Rescale):
    """The shorter side to a random length in [``min_size``, ``max_size``)."""

    def __init__(
        self,
        min_size: int,
        max_size: int,
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size, self.max_size = min_size, max_size

    def make_params(self, flat_inputs: list[Any]) -> Params:
        return {"size": [_draw.randint(self.min_size, self.max_size)]}


class RandomShortestSize(_Rescale):
    """The shorter side to one of ``min_size``, the longer at most ``max_size``."""

    def __init__(
        self,
        min_size: Any,
        max_size: int | None = None,
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        self.max_size = max_size

    def make_params(self, flat_inputs: list[Any]) -> Params:
        height, width = query_size(flat_inputs)
        ratio = self.min_size[_draw.randint(0, len(self.min_size))] / min(height, width)
        if self.max_size is not None:
            ratio = min(ratio, self.max_size / max(height, width))
        return {"size": (int(height * ratio), int(width * ratio))}


class ScaleJitter(_Rescale):
    """Fit into ``target_size``, times a random factor in ``scale_range``."""

    def __init__(
        self,
        target_size: tuple[int, int],
        scale_range: tuple[float, float] = (0.1, 2.0),
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.target_size, self.scale_range = target_size, scale_range

    def make_params(self, flat_inputs: list[Any]) -> Params:
        height, width = query_size(flat_inputs)
        low, high = self.scale_range
        scale = np.float32(low) + _draw.rand()[0] * np.float32(high - low)
        ratio = np.float32(min(self.target_size[1] / height, self.target_size[0] / width)) * scale
        return {"size": (int(np.float32(height) * ratio), int(np.float32(width) * ratio))}


class RandomZoomOut(RandomTransform):
    """Put the image anywhere on a canvas that is larger by a factor in ``side_range``."""

    def __init__(
        self, fill: Any = 0, side_range: Sequence[float] = (1.0, 4.0), p: float = 0.5
    ) -> None:
        super().__init__(p)
        self.fill, self._fill = fill, fill_of(fill)
        _checks.sequence_of(side_range, "side_range", (2,))
        self.side_range = side_range
        if side_range[0] < 1.0 or side_range[0] > side_range[1]:
            raise ValueError(f"Invalid side range provided {side_range}.")

    def make_params(self, flat_inputs: list[Any]) -> Params:
        height, width = query_size(flat_inputs)
        low, high = self.side_range
        ratio = np.float32(low) + _draw.rand()[0] * np.float32(high - low)
        more_x = int(np.float32(width) * ratio) - width
        more_y = int(np.float32(height) * ratio) - height
        where = _draw.rand((2,))
        left, top = int(np.float32(more_x) * where[0]), int(np.float32(more_y) * where[1])
        return {"padding": [left, top, more_x - left, more_y - top]}

    def transform(self, inpt: Any, params: Params) -> Any:
        return self._call_kernel(F.pad, inpt, params["padding"], fill_for(self._fill, inpt))
