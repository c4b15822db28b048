"""HRA beside linear layers.

Shape letters: I in, r reflections.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.peft.tuners.rotation import RotationLayer
from hfpaddle.peft.utils.arrays import (
    ParameterDict,
    compute_dtype,
    kaiming_uniform,
    new_parameter,
)


class HRALayer(RotationLayer):
    """A linear layer whose input is reflected; ``u`` ``[I, r]`` holds the normals."""

    adapter_layer_names = ("hra_u",)
    other_param_names = ("hra_r", "hra_apply_GS")

    def __init__(self, base_layer: nn.Layer, adapter_name: str, config: Any) -> None:
        super().__init__(base_layer)
        self.hra_r: dict[str, int] = {}
        self.hra_apply_GS: dict[str, bool] = {}
        self.hra_u = ParameterDict()
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def has(self, adapter: str) -> bool:
        return adapter in self.hra_u

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter. Raises: ValueError unless ``r`` is positive."""
        r, width = config.r, int(self.in_features or 0)
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        self.hra_r[adapter_name], self.hra_apply_GS[adapter_name] = r, config.apply_GS
        if config.init_weights and r % 2:
            text = "The symmetric initialization can NOT be performed when r is odd!"
            warnings.warn(text, stacklevel=5)
        if config.init_weights and r % 2 == 0:
            normals = np.repeat(kaiming_uniform([width, r // 2]), 2, axis=1)
        else:
            normals = kaiming_uniform([width, r])
        self.hra_u[adapter_name] = new_parameter(normals)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def blocks(self, adapter: str, merging: bool = False) -> paddle.Tensor:
        # The base weight is multiplied by this matrix, so the input by its transpose.
        return self.get_delta_weight(adapter).T.unsqueeze(0)

    def get_delta_weight(self, adapter: str) -> paddle.Tensor:
        """The product of the reflections, ``[I, I]``."""
        u_Ir = self.hra_u[adapter]
        u_Ir = u_Ir.astype(compute_dtype(u_Ir))
        one = paddle.eye(u_Ir.shape[0], dtype=u_Ir.dtype)
        if self.hra_apply_GS[adapter]:
            normals = orthogonal(u_Ir)
            return one - 2 * normals @ normals.T
        u_Ir = u_Ir / u_Ir.square().sum(axis=0).sqrt()
        product = one
        for i in range(u_Ir.shape[1]):
            normal = u_Ir[:, i : i + 1]
            product = product - 2 * (product @ normal) @ normal.T
        return product

    def in_order(self, adapters: list[str]) -> list[str]:
        return adapters[::-1]

    def __repr__(self) -> str:
        return "hra." + super().__repr__()


def orthogonal(u_Ir: paddle.Tensor) -> paddle.Tensor:
    """Columns made orthonormal, one after the other."""
    found: list[paddle.Tensor] = []
    for i in range(u_Ir.shape[1]):
        column = u_Ir[:, i : i + 1]
        for normal in found:
            column = column - (normal.T @ column) * normal
        found.append(column / column.square().sum().sqrt())
    return paddle.concat(found, axis=1)
