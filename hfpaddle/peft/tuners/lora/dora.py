"""DoRA: a magnitude for each output, and LoRA for the direction.

``W' = m * (W + s B A) / ||W + s B A||``, the norm over each output's weights and, as in the paper's
section 4.3, treated as a constant in the backward pass. Source: arXiv:2402.09353.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn

from hfpaddle.peft.utils.arrays import new_parameter


def weight_norm(weight: paddle.Tensor) -> paddle.Tensor:
    """Norm of each output's weights: ``[O, ...]`` to ``[O]``, float32, no gradient."""
    with paddle.no_grad():
        flat = weight.detach().astype("float32").reshape([weight.shape[0], -1])
        return paddle.sqrt((flat * flat).sum(axis=1))


class DoraLayer(nn.Layer):
    """The magnitudes of one adapter.

    Attributes:
        weight: ``[O]`` for linear layers and embeddings, ``[1, O, 1 ...]`` for convolutions.
    """

    def __init__(self, combined: paddle.Tensor, conv: bool, like: paddle.Tensor) -> None:
        """
        Args:
            combined: base weight plus scaled adapter, ``[O, ...]``.
            like: gives the magnitudes' device and dtype.
        """
        super().__init__()
        norm = weight_norm(combined)
        if conv:
            norm = norm.reshape([1, -1] + [1] * (combined.ndim - 2))
        self.weight = new_parameter(norm, like)

    def factor(self, combined: paddle.Tensor) -> paddle.Tensor:
        """``m / ||W + s B A||``, ``[O]``, float32; only ``m`` has a gradient."""
        return self.weight.astype("float32").flatten() / weight_norm(combined)

    def forward(self, *_: Any) -> Any:
        raise RuntimeError("The magnitudes are part of their adapter layer, which calls them.")

    def __repr__(self) -> str:
        return "lora.dora." + super().__repr__()
