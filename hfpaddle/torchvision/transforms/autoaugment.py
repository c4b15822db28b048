"""Automatic augmentation: AutoAugment, RandAugment and TrivialAugmentWide.

Sources: arXiv:1805.09501, arXiv:1909.13719, arXiv:2103.10158.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import numpy as np

from hfpaddle.core.rng_math import fma32
from hfpaddle.torchvision import _draw
from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision.transforms import functional as F
from hfpaddle.torchvision.transforms._modules import Module, shown
from hfpaddle.torchvision.transforms._tensor import Tensor
from hfpaddle.torchvision.transforms.functional import InterpolationMode

__all__ = ["AutoAugment", "AutoAugmentPolicy", "RandAugment", "TrivialAugmentWide"]


class AutoAugmentPolicy(Enum):
    """The data set on which a policy was found."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


# A line is a sub-policy: two times operation, probability in tenths, index of the magnitude.
_POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize 4 8  Rotate 6 9
        Solarize 6 5  AutoContrast 6 -
        Equalize 8 -  Equalize 6 -
        Posterize 6 7  Posterize 6 6
        Equalize 4 -  Solarize 2 4
        Equalize 4 -  Rotate 8 8
        Solarize 6 3  Equalize 6 -
        Posterize 8 5  Equalize 10 -
        Rotate 2 3  Solarize 6 8
        Equalize 6 -  Posterize 4 6
        Rotate 8 8  Color 4 0
        Rotate 4 9  Equalize 6 -
        Equalize 0 -  Equalize 8 -
        Invert 6 -  Equalize 10 -
        Color 6 4  Contrast 10 8
        Rotate 8 8  Color 10 2
        Color 8 8  Solarize 8 7
        Sharpness 4 7  Invert 6 -
        ShearX 6 5  Equalize 10 -
        Color 4 0  Equalize 6 -
        Equalize 4 -  Solarize 2 4
        Solarize 6 5  AutoContrast 6 -
        Invert 6 -  Equalize 10 -
        Color 6 4  Contrast 10 8
        Equalize 8 -  Equalize 6 -""",
    AutoAugmentPolicy.CIFAR10: """
        Invert 1 -  Contrast 2 6
        Rotate 7 2  TranslateX 3 9
        Sharpness 8 1  Sharpness 9 3
        ShearY 5 8  TranslateY 7 9
        AutoContrast 5 -  Equalize 9 -
        ShearY 2 7  Posterize 3 7
        Color 4 3  Brightness 6 7
        Sharpness 3 9  Brightness 7 9
        Equalize 6 -  Equalize 5 -
        Contrast 6 7  Sharpness 6 5
        Color 7 7  TranslateX 5 8
        Equalize 3 -  AutoContrast 4 -
        TranslateY 4 3  Sharpness 2 6
        Brightness 9 6  Color 2 8
        Solarize 5 2  Invert 0 -
        Equalize 2 -  AutoContrast 6 -
        Equalize 2 -  Equalize 6 -
        Color 9 9  Equalize 6 -
        AutoContrast 8 -  Solarize 2 8
        Brightness 1 3  Color 7 0
        Solarize 4 5  AutoContrast 9 -
        TranslateY 9 9  TranslateY 7 9
        AutoContrast 9 -  Solarize 8 3
        Equalize 8 -  Invert 1 -
        TranslateY 7 9  AutoContrast 9 -""",
    AutoAugmentPolicy.SVHN: """
        ShearX 9 4  Invert 2 -
        ShearY 9 8  Invert 7 -
        Equalize 6 -  Solarize 6 6
        Invert 9 -  Equalize 6 -
        Equalize 6 -  Rotate 9 3
        ShearX 9 4  AutoContrast 8 -
        ShearY 9 8  Invert 4 -
        ShearY 9 5  Solarize 2 6
        Invert 9 -  AutoContrast 8 -
        Equalize 6 -  Rotate 9 3
        ShearX 9 4  Solarize 3 3
        ShearY 8 8  Invert 7 -
        Equalize 9 -  TranslateY 6 6
        Invert 9 -  Equalize 6 -
        Contrast 3 3  Rotate 8 4
        Invert 8 -  TranslateY 0 2
        ShearY 7 6  Solarize 4 8
        Invert 6 -  Rotate 8 4
        ShearY 3 7  TranslateX 9 3
        ShearX 1 6  Invert 6 -
        Solarize 7 2  TranslateY 6 7
        ShearY 8 4  Invert 8 -
        ShearX 7 9  TranslateY 8 3
        ShearY 8 5  AutoContrast 7 -
        ShearX 7 2  Invert 1 -""",
}
SIGNED = {
    "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
    "Sharpness",
}  # fmt: skip
IN_ORDER = (
    "Identity ShearX ShearY TranslateX TranslateY Rotate Brightness Color Contrast Sharpness "
    "Posterize Solarize AutoContrast Equalize"
).split()


def policy_of(policy: AutoAugmentPolicy) -> list[list[tuple[str, float, int | None]]]:
    """Sub-policies of two (operation, probability, index of the magnitude)."""
    if policy not in _POLICIES:
        raise ValueError(f"The provided policy {policy} is not recognized.")
    table = []
    for line in _POLICIES[policy].split("\n")[1:]:
        words = line.split()
        table.append(
            [
                (op, int(tenths) / 10, None if index == "-" else int(index))
                for op, tenths, index in (words[:3], words[3:])
            ]
        )
    return table


def magnitudes(
    bins: int, size: tuple[int, int], wide: bool = False, white: float = 255.0
) -> dict[str, Any]:
    """Strengths of each operation, float32 ``[bins]`` (None: it has none), for (height, width).

    Args:
        wide: the ranges of TrivialAugmentWide.
        white: where the thresholds of Solarize begin.
    """

    def up_to(high: float, low: float = 0.0) -> np.ndarray:
        # As torch.linspace: from both ends to the middle, with one rounding.
        first, last = np.float32(low), np.float32(high)
        step, i = (last - first) / np.float32(bins - 1), np.arange(bins, dtype=np.float32)
        upper = fma32(i - np.float32(bins - 1), step, last)
        return np.where(i < bins // 2, fma32(i, step, first), upper)

    shear, blend, turn = (0.99, 0.99, 135.0) if wide else (0.3, 0.9, 30.0)
    moves = (32.0, 32.0) if wide else (150.0 / 331.0 * size[1], 150.0 / 331.0 * size[0])
    lost_bits = np.arange(bins, dtype=np.float32) / np.float32((bins - 1) / (6 if wide else 4))
    blends = dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), up_to(blend))
    return {
        **{"Identity": None, "ShearX": up_to(shear), "ShearY": up_to(shear)},
        **{"TranslateX": up_to(moves[0]), "TranslateY": up_to(moves[1]), "Rotate": up_to(turn)},
        **blends,
        **{"Posterize": 8 - np.rint(lost_bits), "Solarize": up_to(0.0, white)},
        **{"AutoContrast": None, "Equalize": None, "Invert": None},
    }


def apply_op(img: Any, op: str, strength: float, interpolation: Any, fill: Any, f: Any = F) -> Any:
    """One operation by its name; ``f`` holds the functions of a generation of transforms."""
    if op in ("ShearX", "ShearY"):
        degrees = math.degrees(math.atan(strength))
        shear = [degrees, 0.0] if op == "ShearX" else [0.0, degrees]
        return f.affine(img, 0.0, [0, 0], 1.0, shear, interpolation, fill, [0, 0])
    if op in ("TranslateX", "TranslateY"):
        move = [int(strength), 0] if op == "TranslateX" else [0, int(strength)]
        return f.affine(img, 0.0, move, 1.0, [0.0, 0.0], interpolation, fill)
    if op == "Rotate":
        return f.rotate(img, strength, interpolation, fill=fill)
    blends = {"Brightness": "brightness", "Color": "saturation", "Contrast": "contrast"}
    if op in blends or op == "Sharpness":
        return getattr(f, f"adjust_{blends.get(op, 'sharpness')}")(img, 1.0 + strength)
    if op == "Posterize":
        return f.posterize(img, int(strength))
    if op == "Solarize":
        return f.solarize(img, strength)
    plain = {"AutoContrast": "autocontrast", "Equalize": "equalize", "Invert": "invert"}
    if op in plain:
        return getattr(f, plain[op])(img)
    if op == "Identity":
        return img
    raise ValueError(f"The provided operator {op} is not recognized.")


def _fill_for(img: Any, fill: Any) -> Any:
    if not isinstance(img, Tensor) or fill is None:
        return fill
    if isinstance(fill, (int, float)):
        return [float(fill)] * F.get_image_num_channels(img)
    return [float(v) for v in fill]


class _Auto(Module):
    _fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return shown(self, *self._fields, short=False)


class AutoAugment(_Auto):
    """A random sub-policy out of the 25 found for a data set; takes uint8 tensors and images."""

    _fields = ("policy", "fill")

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.policy, self.interpolation, self.fill = policy, interpolation, fill
        self.policies = policy_of(policy)

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, np.ndarray, list[int]]:
        """(number of the sub-policy, two probabilities, two signs)."""
        number, chances = _draw.randint(0, transform_num), _draw.rand((2,))
        return number, chances, [_draw.randint(0, 2), _draw.randint(0, 2)]

    def forward(self, img: Any) -> Any:
        fill = _fill_for(img, self.fill)
        number, chances, signs = self.get_params(len(self.policies))
        table = magnitudes(10, tuple(F.get_dimensions(img)[1:]))
        for i, (op, p, index) in enumerate(self.policies[number]):
            if chances[i] > np.float32(p):
                continue
            strength = 0.0 if index is None else float(table[op][index])
            strength = -strength if op in SIGNED and signs[i] == 0 else strength
            img = apply_op(img, op, strength, self.interpolation, fill)
        return img


class RandAugment(_Auto):
    """``num_ops`` random operations of one ``magnitude``; takes uint8 tensors and images."""

    _fields = ("num_ops", "magnitude", "num_magnitude_bins", "interpolation", "fill")

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.num_ops, self.magnitude = num_ops, magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation, self.fill = interpolation, fill

    def forward(self, img: Any) -> Any:
        fill = _fill_for(img, self.fill)
        size = tuple(F.get_dimensions(img)[1:])
        table = magnitudes(self.num_magnitude_bins, size)
        for _ in range(self.num_ops):
            op = IN_ORDER[_draw.randint(0, len(IN_ORDER))]
            strength = 0.0 if table[op] is None else float(table[op][self.magnitude])
            if op in SIGNED and _draw.randint(0, 2):
                strength = -strength
            img = apply_op(img, op, strength, self.interpolation, fill)
        return img


class TrivialAugmentWide(_Auto):
    """One random operation of a random strength; takes uint8 tensors and images."""

    _fields = ("num_magnitude_bins", "interpolation", "fill")

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation, self.fill = interpolation, fill

    def forward(self, img: Any) -> Any:
        fill = _fill_for(img, self.fill)
        table = magnitudes(self.num_magnitude_bins, (0, 0), wide=True)
        op = IN_ORDER[_draw.randint(0, len(IN_ORDER))]
        strength = 0.0
        if table[op] is not None:
            strength = float(table[op][_draw.randint(0, len(table[op]))])
        if op in SIGNED and _draw.randint(0, 2):
            strength = -strength
        return apply_op(img, op, strength, self.interpolation, fill)


LACKING = {"AugMix": "It mixes by Dirichlet samples. Use TrivialAugmentWide or RandAugment."}
__getattr__ = missing_names(__name__, globals(), LACKING)
