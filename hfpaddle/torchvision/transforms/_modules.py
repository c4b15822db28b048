"""What the classes of ``torchvision.transforms`` share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import paddle

from hfpaddle.torchvision import _draw
from hfpaddle.torchvision.transforms.functional import InterpolationMode

Module = paddle.nn.Layer


def listed(name: str, transforms: Iterable, first: str = "") -> str:
    """``Compose(`` and one line a transform."""
    return "\n".join([f"{name}({first}", *(f"    {t}" for t in transforms), ")"])


def shown(owner: Any, *names: str, short: bool = True) -> str:
    """``Class(name=value, ...)`` of attributes; ``short`` shows the value of a mode alone."""

    def text(value: Any) -> str:
        return str(value.value if short and isinstance(value, InterpolationMode) else value)

    inner = ", ".join(f"{name}={text(getattr(owner, name))}" for name in names)
    return f"{type(owner).__name__}({inner})"


class Shown(Module):
    """A module whose ``repr`` tells the attributes ``_fields``."""

    _fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return shown(self, *self._fields)


class Maybe(Shown):
    """Changes an image with probability ``p``."""

    _fields = ("p",)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def change(self, img: Any) -> Any:
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        return self.change(img) if _draw.below(self.p) else img


class MaybeExactly(Maybe):
    """As :class:`Maybe`; the original compares in float64 here."""

    def forward(self, img: Any) -> Any:
        return self.change(img) if float(_draw.rand()[0]) < self.p else img
