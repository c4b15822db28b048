"""LoHa beside linear layers and convolutions.

Shape letters: O out, I in, r rank, X Y kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle

from hfpaddle.peft.tuners.additive import ScaledLayer
from hfpaddle.peft.utils.arrays import ParameterDict, kaiming_uniform, new_parameter


class LoHaLayer(ScaledLayer):
    """``scaling * (A1 B1) * (A2 B2)``; with kernels apart each product has a core ``T``."""

    adapter_layer_names = (
        "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2",
    )  # fmt: skip

    def make_holders(self) -> None:
        super().make_holders()
        for name in self.adapter_layer_names:
            setattr(self, name, ParameterDict())

    def has(self, adapter: str) -> bool:
        return adapter in self.hada_w1_a

    def update_layer(self, adapter_name: str, config: Any, r: int = 0, alpha: float = 0) -> None:
        self.note_sizes(adapter_name, config, r, alpha)
        out, inner, *kernel = (int(n) for n in self.get_base_layer().weight.shape)
        if self.fan_in_fan_out:
            out, inner = inner, out
        apart = config.use_effective_conv2d and any(size != 1 for size in kernel)
        if apart:
            cores = [r, r, *kernel, *([1] if len(kernel) == 1 else [])]
            shapes = {"hada_w1_a": [r, out], "hada_w1_b": [r, inner]}
            shapes |= {"hada_w2_a": [r, out], "hada_w2_b": [r, inner]}
            shapes |= {"hada_t1": cores, "hada_t2": cores}
        else:
            inner *= math.prod(kernel)
            shapes = {"hada_w1_a": [out, r], "hada_w1_b": [r, inner]}
            shapes |= {"hada_w2_a": [out, r], "hada_w2_b": [r, inner]}
        for name, shape in shapes.items():
            zero = name == "hada_w2_b" and config.init_weights
            values = np.zeros(shape, "float32") if zero else kaiming_uniform(shape)
            getattr(self, name)[adapter_name] = new_parameter(values)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        w1_a, w1_b = self.hada_w1_a[adapter], self.hada_w1_b[adapter]
        w2_a, w2_b = self.hada_w2_a[adapter], self.hada_w2_b[adapter]
        if adapter in self.hada_t1:
            first = core_product(self.hada_t1[adapter], w1_a, w1_b)
            second = core_product(self.hada_t2[adapter], w2_a, w2_b)
        else:
            first, second = w1_a @ w1_b, w2_a @ w2_b
        weight = first * second * self.scaling[adapter]
        weight = weight.T if self.fan_in_fan_out else weight
        return weight.reshape(list(self.get_base_layer().weight.shape))

    def __repr__(self) -> str:
        return "loha." + super().__repr__()


def core_product(
    core_rrXY: paddle.Tensor, a_rO: paddle.Tensor, b_rI: paddle.Tensor
) -> paddle.Tensor:
    """``[O, I, X, Y]``: the core with its first axes mapped by ``a`` and ``b``."""
    r, _, X, Y = core_rrXY.shape
    left_OrXY = (a_rO.T @ core_rrXY.reshape([r, -1])).reshape([-1, r, X, Y])
    right = left_OrXY.transpose([0, 2, 3, 1]) @ b_rI
    return right.transpose([0, 3, 1, 2])
