"""BOFT beside linear layers.

Shape letters: r blocks, b size of a block, O out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.peft.tuners.rotation import RotationLayer, cayley
from hfpaddle.peft.utils.arrays import ParameterDict, compute_dtype, new_parameter, normal


class BOFTLayer(RotationLayer):
    """A linear layer whose input is turned by ``R`` ``[1, r, b, b]`` and output scaled by ``s``."""

    adapter_layer_names = ("boft_R", "boft_s")
    other_param_names = ("boft_block_size", "boft_block_num", "boft_dropout")

    def __init__(self, base_layer: nn.Layer, adapter_name: str, config: Any) -> None:
        super().__init__(base_layer)
        self.boft_block_size: dict[str, int] = {}
        self.boft_block_num: dict[str, int] = {}
        self.boft_dropout: dict[str, float] = {}
        self.boft_R, self.boft_s = ParameterDict(), ParameterDict()
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def has(self, adapter: str) -> bool:
        return adapter in self.boft_R

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter.

        Raises: UnsupportedArgumentError for more butterfly factors than one; ValueError for blocks
        that do not divide the input.
        """
        if config.boft_n_butterfly_factor != 1:
            raise UnsupportedArgumentError(
                f"BOFTConfig: boft_n_butterfly_factor={config.boft_n_butterfly_factor} is not "
                "implemented (works: 1, to which the original falls back without its CUDA "
                "extension)."
            )
        width: Any = self.in_features
        given = config.boft_block_size or config.boft_block_num
        if width % given:
            name = "boft_block_size" if config.boft_block_size else "boft_block_num"
            raise ValueError(f"in_features ({width}) must be divisible by {name} ({given})!")
        size = given if config.boft_block_size else width // given
        count = width // size
        shape, rows = [1, count, size, size], [int(self.out_features or 0), 1]
        turns, scales = np.zeros(shape, "float32"), np.ones(rows, "float32")
        if not config.init_weights:
            turns, scales = normal(shape, 0.1), 1 + normal(rows, 0.1)
        self.boft_R[adapter_name], self.boft_s[adapter_name] = map(new_parameter, (turns, scales))
        self.boft_block_size[adapter_name], self.boft_block_num[adapter_name] = size, count
        self.boft_dropout[adapter_name] = config.boft_dropout
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def blocks(self, adapter: str, merging: bool = False) -> paddle.Tensor:
        free = self.boft_R[adapter][0]
        free = free.astype(compute_dtype(free))
        blocks = cayley(0.5 * (free - free.transpose([0, 2, 1])))
        p, count = self.boft_dropout[adapter], int(blocks.shape[0])
        if merging or not self.training or not p:
            return blocks
        # Paddle's own stream: recomputation puts that one back.
        left_out = (paddle.randperm(count) < int(p * count)).astype(blocks.dtype)
        left_out = left_out.reshape([-1, 1, 1])
        return (1 - left_out) * blocks + left_out * paddle.eye(blocks.shape[1])

    def scale(self, adapter: str) -> paddle.Tensor:
        return self.boft_s[adapter]

    def in_order(self, adapters: list[str]) -> list[str]:
        return adapters[::-1]  # the original multiplies each new rotation from the left

    def __repr__(self) -> str:
        return "boft." + super().__repr__()
