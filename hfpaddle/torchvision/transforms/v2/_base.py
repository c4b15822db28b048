"""What the classes of ``torchvision.transforms.v2`` share: samples of any structure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle

from hfpaddle.torch.utils._pytree import tree_flatten, tree_unflatten
from hfpaddle.torchvision import _draw, tv_tensors
from hfpaddle.torchvision._pillow import Image, is_pil
from hfpaddle.torchvision.transforms._tensor import Tensor
from hfpaddle.torchvision.transforms.v2 import functional as F
from hfpaddle.torchvision.transforms.v2.functional import is_pure_tensor

Module = paddle.nn.Layer
_OWN = frozenset(vars(Module()))


def check_type(obj: Any, types_or_checks: Sequence[Any]) -> bool:
    """Whether ``obj`` is of one of the types, or one of the functions says yes."""
    return any(
        isinstance(obj, kind) if isinstance(kind, type) else kind(obj) for kind in types_or_checks
    )


def has_any(flat_inputs: Sequence[Any], *types_or_checks: Any) -> bool:
    """Whether an input is of one of the types."""
    return any(check_type(inpt, types_or_checks) for inpt in flat_inputs)


def has_all(flat_inputs: Sequence[Any], *types_or_checks: Any) -> bool:
    """Whether each type has an input."""
    return all(has_any(flat_inputs, kind) for kind in types_or_checks)


def _one(found: set[tuple[int, ...]], what: str) -> tuple[int, ...]:
    if not found:
        raise TypeError("No image was found in the sample")
    if len(found) > 1:
        raise ValueError(f"Found multiple {what} dimensions in the sample: {sorted(found)}")
    return found.pop()


def query_chw(flat_inputs: Sequence[Any]) -> tuple[int, ...]:
    """(channels, height, width) of the images, which must agree."""
    images = (x for x in flat_inputs if check_type(x, (Tensor, Image.Image)))
    return _one({tuple(F.get_dimensions(x)) for x in images}, "CxHxW")


def query_size(flat_inputs: Sequence[Any]) -> tuple[int, ...]:
    """(height, width) of the images, which must agree."""
    images = (x for x in flat_inputs if check_type(x, (Tensor, Image.Image)))
    return _one({tuple(F.get_size(x)) for x in images}, "HxW")


class Transform(Module):
    """Transforms the images of a sample alike, and passes the rest on.

    A sample is an image, or images and other things in tuples, lists and dictionaries. A pure
    tensor is an image if the sample has no Image (tv_tensors) and no Pillow image, and it is the
    first tensor. Subclasses write ``transform``, and ``make_params`` for what is drawn once.
    """

    _transformed_types: tuple[Any, ...] = (Tensor, Image.Image)

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raise for inputs that it does not take."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is drawn once for the whole sample."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One image."""
        raise NotImplementedError

    def _call_kernel(self, functional: Callable, inpt: Any, *args: Any, **kwargs: Any) -> Any:
        return functional(inpt, *args, **kwargs)

    def forward(self, *inputs: Any) -> Any:
        flat, spec = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(flat)
        return self._changed(flat, spec)

    def _changed(self, flat: list[Any], spec: Any) -> Any:
        needs = self._needs_transform_list(flat)
        params = self.make_params([x for x, needed in zip(flat, needs, strict=True) if needed])
        out = [
            self.transform(x, params) if needed else x
            for x, needed in zip(flat, needs, strict=True)
        ]
        return tree_unflatten(out, spec)

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        pure_is_image = not has_any(flat_inputs, tv_tensors.Image, Image.Image)
        needs = []
        for inpt in flat_inputs:
            needed = check_type(inpt, self._transformed_types)
            if needed and is_pure_tensor(inpt):
                needed, pure_is_image = pure_is_image, False
            needs.append(needed)
        return needs

    def extra_repr(self) -> str:
        """Public attributes that are plain values."""
        plain = (bool, int, float, str, tuple, list, enum.Enum)
        shown = {k: v for k, v in vars(self).items() if k not in _OWN and not k.startswith("_")}
        return ", ".join(f"{k}={v}" for k, v in shown.items() if isinstance(v, plain))

    def __repr__(self) -> str:
        lines = self.extra_repr().split("\n")
        inner = lines[0] if len(lines) == 1 else "\n  " + "\n  ".join(lines) + "\n"
        return f"{type(self).__name__}({inner})"


class RandomTransform(Transform):
    """Transforms a sample with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        super().__init__()
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat, spec = tree_flatten(sample)
        self.check_inputs(flat)
        if not _draw.below(self.p):
            return sample
        return self._changed(flat, spec)


def no_pictures(transform: Transform, flat_inputs: list[Any]) -> None:
    """Raise TypeError for Pillow images."""
    if any(is_pil(inpt) for inpt in flat_inputs):
        raise TypeError(f"{type(transform).__name__}() does not support PIL images.")


def fill_of(fill: Any) -> dict[Any, Any]:
    """Kind of input -> fill; "others" stands for the rest."""
    if isinstance(fill, dict):
        return {kind: fill_of(value)["others"] for kind, value in fill.items()}
    if fill is not None and not isinstance(fill, (int, float, np.number, tuple, list)):
        raise TypeError(
            "Got inappropriate fill arg, only Numbers, tuples, lists and dicts are allowed."
        )
    return {"others": [float(v) for v in fill] if isinstance(fill, (tuple, list)) else fill}


def kind_of(inpt: Any) -> type:
    """The class by which dictionaries of options know an input."""
    if isinstance(inpt, tv_tensors.Image):
        return tv_tensors.Image
    return Tensor if isinstance(inpt, Tensor) else type(inpt)


def fill_for(fills: dict[Any, Any], inpt: Any) -> Any:
    """The fill for this input."""
    return fills.get(kind_of(inpt), fills.get("others"))
