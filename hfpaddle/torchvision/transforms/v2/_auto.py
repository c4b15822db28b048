"""AutoAugment, RandAugment and TrivialAugmentWide of ``torchvision.transforms.v2``.

The operations are those of :mod:`..autoaugment`; signs and thresholds are drawn otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hfpaddle.torch.utils._pytree import tree_flatten, tree_unflatten
from hfpaddle.torchvision import _draw
from hfpaddle.torchvision.transforms import autoaugment as v1
from hfpaddle.torchvision.transforms._tensor import Tensor, max_value
from hfpaddle.torchvision.transforms.v2 import functional as F
from hfpaddle.torchvision.transforms.v2._base import Transform, fill_for, fill_of

_IN_ORDER = v1.IN_ORDER


class _Auto(Transform):
    def __init__(self, interpolation: Any, fill: Any) -> None:
        super().__init__()
        self.interpolation, self.fill = interpolation, fill
        self._fill = fill_of(fill)

    def _augment(self, image: Any) -> Any:
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        flat, spec = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        found = [i for i, needed in enumerate(self._needs_transform_list(flat)) if needed]
        if not found:
            raise TypeError("Found no image in the sample.")
        if len(found) > 1:
            raise TypeError(
                "Auto augment transformations are only properly defined for a single image or "
                f"video, but found {len(found)}."
            )
        flat[found[0]] = self._augment(flat[found[0]])
        return tree_unflatten(flat, spec)

    def _operate(self, image: Any, op: str, strength: float | None) -> Any:
        """One operation; a signed one is reversed in half of the draws."""
        value = 0.0 if strength is None else float(strength)
        if op in v1.SIGNED and _draw.rand(())[()] <= np.float32(0.5):
            value = -value
        if op == "Solarize":
            value *= max_value(image.dtype) if isinstance(image, Tensor) else 255.0
        fill = fill_for(self._fill, image)
        return v1.apply_op(image, op, value, self.interpolation, fill, F)


class AutoAugment(_Auto):
    """A random sub-policy out of the 25 found for a data set."""

    def __init__(
        self,
        policy: v1.AutoAugmentPolicy = v1.AutoAugmentPolicy.IMAGENET,
        interpolation: Any = "nearest",
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.policy, self._policies = policy, v1.policy_of(policy)

    def _augment(self, image: Any) -> Any:
        height, width = F.get_size(image)
        table = v1.magnitudes(10, (height, width), white=1.0)
        for op, p, index in self._policies[_draw.randint(0, len(self._policies))]:
            if _draw.rand(())[()] <= np.float32(p):
                image = self._operate(image, op, None if index is None else table[op][index])
        return image


class RandAugment(_Auto):
    """``num_ops`` random operations of one ``magnitude``."""

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = "nearest",
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if not isinstance(num_ops, int) or num_ops < 0:
            raise ValueError(
                f"num_ops should be a non-negative integer, but got {num_ops} instead."
            )
        self.num_ops, self.magnitude = num_ops, magnitude
        self.num_magnitude_bins = num_magnitude_bins

    def _augment(self, image: Any) -> Any:
        height, width = F.get_size(image)
        table = v1.magnitudes(self.num_magnitude_bins, (height, width), white=1.0)
        for _ in range(self.num_ops):
            op = _IN_ORDER[_draw.randint(0, len(_IN_ORDER))]
            strength = None if table[op] is None else table[op][self.magnitude]
            image = self._operate(image, op, strength)
        return image


class TrivialAugmentWide(_Auto):
    """One random operation of a random strength."""

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Any = "nearest",
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def _augment(self, image: Any) -> Any:
        table = v1.magnitudes(self.num_magnitude_bins, (0, 0), wide=True, white=1.0)
        op = _IN_ORDER[_draw.randint(0, len(_IN_ORDER))]
        strength = None
        if table[op] is not None:
            strength = table[op][_draw.randint(0, len(table[op]))]
        return self._operate(image, op, strength)
