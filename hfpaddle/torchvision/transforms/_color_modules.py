"""The classes of ``torchvision.transforms`` that change colours."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torchvision.transforms import _checks, _params
from hfpaddle.torchvision.transforms import functional as F
from hfpaddle.torchvision.transforms._modules import Maybe, MaybeExactly, Shown


class ColorJitter(Shown):
    """Change brightness, contrast, saturation and hue by random factors, in random order."""

    _fields = ("brightness", "contrast", "saturation", "hue")

    def __init__(
        self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0
    ) -> None:
        super().__init__()
        self.brightness = _checks.jitter(brightness, "brightness")
        self.contrast = _checks.jitter(contrast, "contrast")
        self.saturation = _checks.jitter(saturation, "saturation")
        self.hue = _checks.jitter(hue, "hue", center=0, bound=(-0.5, 0.5), clip=False)

    @staticmethod
    def get_params(brightness: Any, contrast: Any, saturation: Any, hue: Any) -> tuple:
        """(order of the four, then their factors; None leaves one out)."""
        order, factors = _params.jitter((brightness, contrast, saturation, hue))
        return (paddle.to_tensor(order, place=paddle.CPUPlace()), *factors)

    def forward(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        for i in order.tolist():
            if factors[i] is not None:
                img = _ADJUST[i](img, factors[i])
        return img


_ADJUST = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


class Grayscale(Shown):
    """The image without colour, in one channel or three equal ones."""

    _fields = ("num_output_channels",)

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, self.num_output_channels)


class RandomGrayscale(Maybe):
    """Without colour with probability ``p``, in as many channels as before."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def change(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, F.get_image_num_channels(img))


class RandomInvert(MaybeExactly):
    """Black for white with probability ``p``."""

    def change(self, img: Any) -> Any:
        return F.invert(img)


class RandomPosterize(MaybeExactly):
    """Keep the highest ``bits`` bits with probability ``p``."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bits={self.bits},p={self.p})"

    def change(self, img: Any) -> Any:
        return F.posterize(img, self.bits)


class RandomSolarize(MaybeExactly):
    """Invert what is at least ``threshold`` with probability ``p``."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def __repr__(self) -> str:
        return f"{type(self).__name__}(threshold={self.threshold},p={self.p})"

    def change(self, img: Any) -> Any:
        return F.solarize(img, self.threshold)


class RandomAdjustSharpness(MaybeExactly):
    """Blur or sharpen with probability ``p``."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sharpness_factor={self.sharpness_factor},p={self.p})"

    def change(self, img: Any) -> Any:
        return F.adjust_sharpness(img, self.sharpness_factor)


class RandomAutocontrast(MaybeExactly):
    """Stretch each channel from black to white with probability ``p``."""

    def change(self, img: Any) -> Any:
        return F.autocontrast(img)


class RandomEqualize(MaybeExactly):
    """Spread the histogram of each channel with probability ``p``."""

    def change(self, img: Any) -> Any:
        return F.equalize(img)
