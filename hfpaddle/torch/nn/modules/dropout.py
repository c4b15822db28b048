"""Dropout. On the CPU the mask is torch's for the same seed."""

from __future__ import annotations

from collections.abc import Callable

from hfpaddle import layers
from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn.modules.module import Kin, Module

__all__ = [
    "AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d",
]  # fmt: skip


class _Dropout(Module):
    function: Callable

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input):
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout, metaclass=Kin):
    """Zero items with probability ``p`` while training."""

    kin = (layers.Dropout,)
    function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """Zero whole channels of ``[N, C, L]``."""

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """Zero whole channels of ``[N, C, H, W]``."""

    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """Zero whole channels of ``[N, C, D, H, W]``."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of a SELU network."""

    function = staticmethod(F.alpha_dropout)
