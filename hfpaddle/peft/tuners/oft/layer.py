"""OFT beside linear layers and embeddings.

Shape letters: r blocks, b size of a block, e = b (b - 1) / 2.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.peft.tuners.rotation import RotationLayer, cayley, cayley_neumann, rotate, skew
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import compute_dtype, new_parameter, normal, write


class OFTRotation(nn.Layer):
    """The free numbers ``[r, e]`` of one adapter's blocks."""

    def __init__(self, count: int, size: int, config: Any) -> None:
        super().__init__()
        self.size, self.coft, self.eps = size, config.coft, config.eps
        self.terms = config.num_cayley_neumann_terms if config.use_cayley_neumann else None
        shape = [count, size * (size - 1) // 2]
        drawn = np.zeros(shape, "float32") if config.init_weights else normal(shape, 0.1)
        self.weight = new_parameter(drawn)

    def blocks(self) -> paddle.Tensor:
        """Orthogonal blocks ``[r, b, b]``."""
        if self.coft:
            write(self.weight, self._bounded(self.weight.detach()))
        free = skew(self.weight.astype(compute_dtype(self.weight)), self.size)
        return cayley(free) if self.terms is None else cayley_neumann(free, self.terms)

    def _bounded(self, values_re: paddle.Tensor) -> paddle.Tensor:
        """Scale blocks back whose norm is beyond the bound."""
        eps = self.eps / np.sqrt(values_re.shape[0])
        norm = paddle.sqrt(2 * (values_re * values_re).sum(axis=1, keepdim=True))
        return paddle.where(norm <= eps, values_re, eps * values_re / norm)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return rotate(x, self.blocks())


class OFTLayer(RotationLayer):
    """A linear layer whose input is turned, or an embedding whose output is."""

    adapter_layer_names = ("oft_R", "oft_embedding_R")
    other_param_names = ("r", "oft_block_size", "oft_dropout")

    def __init__(self, base_layer: nn.Layer, adapter_name: str, config: Any) -> None:
        super().__init__(base_layer)
        self.on_output = layers.is_embedding(self.get_base_layer())
        self.r: dict[str, int] = {}
        self.oft_block_size: dict[str, int] = {}
        self.oft_dropout = nn.LayerDict()
        self.oft_R, self.oft_embedding_R = nn.LayerDict(), nn.LayerDict()
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    @property
    def _rotations(self) -> Any:
        return self.oft_embedding_R if self.on_output else self.oft_R

    def has(self, adapter: str) -> bool:
        return adapter in self.r

    def blocks(self, adapter: str, merging: bool = False) -> paddle.Tensor:
        return self._rotations[adapter].blocks()

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter; a size that does not divide is changed to the nearest that does."""
        width: Any = self.out_features if self.on_output else self.in_features
        given = config.r or config.oft_block_size
        size = nearest_divisor(width, given)
        if size != given:
            name = "r" if config.r else "oft_block_size"
            text = f"Invalid `{name}` ({given})! Adjusted `{name}` to ({size})."
            warnings.warn(text, stacklevel=5)
        count, size = (size, width // size) if config.r else (width // size, size)
        rotation = OFTRotation(1 if config.block_share else count, size, config)
        self._rotations[adapter_name] = rotation
        self.r[adapter_name], self.oft_block_size[adapter_name] = count, size
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def __repr__(self) -> str:
        return "oft." + super().__repr__()


def nearest_divisor(width: int, wanted: int) -> int:
    """The divisor of ``width`` nearest to ``wanted``, the smaller of two; ``width`` at most."""
    if wanted >= width:
        return width
    higher = next(n for n in range(wanted, width + 1) if width % n == 0)
    lower = next(n for n in range(wanted, 0, -1) if width % n == 0)
    return lower if wanted - lower <= higher - wanted else higher
