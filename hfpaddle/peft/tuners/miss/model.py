"""MiSS beside linear layers.

Shape letters: O out, I in, r rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.basic import Dropout
from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.tuners.lora.layer import Identity
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils.arrays import ParameterDict, kaiming_uniform, new_parameter
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from hfpaddle.peft.utils.other import transpose


class MissLayer(AdditiveLayer):
    """``block`` ``[r, O]`` meets the sum over every r-th input.

    "mini" repeats ``[r, mini_r]`` over the outputs; "bat" holds ``[O / r, r, r]``, which multiplies
    the base weight's blocks.
    """

    adapter_layer_names = ("miss_block",)
    other_param_names = ("miss_r", "miss_dropout", "miss_mini_r", "miss_fn")

    def make_holders(self) -> None:
        self.miss_r: dict[str, int] = {}
        self.miss_mini_r: dict[str, int] = {}
        self.miss_fn: dict[str, Any] = {}
        self.miss_dropout = nn.LayerDict()
        self.miss_block = ParameterDict()

    def has(self, adapter: str) -> bool:
        return adapter in self.miss_block

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter. Raises: ValueError for sizes that do not fit the layer."""
        r, inner, out = config.r, int(self.in_features or 0), int(self.out_features or 0)
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        if r > inner:
            raise ValueError(f"`r` ({r}) must be less than or equal to in_features ({inner})")
        start, shape = config.init_weights, [r, out]
        if start == "bat":
            if inner % r or out % r:
                raise ValueError("The weight matrix must be fully divisible into [r, r] blocks.")
            shape = [out // r, r, r]
        elif start == "mini":
            if out % config.mini_r:
                raise ValueError(f"out_features ({out}) must be divisible by mini_r.")
            shape = [r, config.mini_r]
        self.miss_r[adapter_name], self.miss_mini_r[adapter_name] = r, config.mini_r
        self.miss_fn[adapter_name] = start
        p = config.miss_dropout
        self.miss_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        block = np.zeros(shape, "float32") if start else kaiming_uniform(shape)
        self.miss_block[adapter_name] = new_parameter(block)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _block(self, adapter: str) -> paddle.Tensor:
        block = self.miss_block[adapter]
        if self.miss_fn[adapter] == "mini":
            block = block.tile([1, self.out_features // self.miss_mini_r[adapter]])
        return block

    def get_delta_weight(self, adapter: str, weight: Any = None, **_: Any) -> paddle.Tensor:
        """What is added to ``weight`` (the base's by default), in its shape."""
        if self.miss_fn[adapter] == "bat":
            weight = self.weight if weight is None else weight
            blocks = self.miss_block[adapter].astype("float32").unsqueeze(0)
            parts = _split(weight.astype("float32"), blocks.shape[-1])
            return _join(parts @ blocks + blocks, weight.shape)
        block_rO = self._block(adapter).astype("float32")
        inner = int(self.in_features)
        times = -(-inner // block_rO.shape[0])
        return transpose(block_rO.T.tile([1, times])[:, :inner], self.fan_in_fan_out)

    def _add(self, adapter: str, sign: float, safe: bool) -> None:
        if sign > 0 or self.miss_fn[adapter] != "bat":
            return super()._add(adapter, sign, safe)
        with paddle.no_grad():  # W = (W' - B) (1 + B)^-1
            blocks = self.miss_block[adapter].astype("float32")
            one = paddle.eye(blocks.shape[-1], dtype="float32")
            parts = _split(self.weight.astype("float32"), blocks.shape[-1])
            weight = _join((parts - blocks) @ paddle.linalg.inv(one + blocks), self.weight.shape)
        self.set_base_weight(weight)

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        block_rO = self._block(adapter)
        x = self._cast_input_dtype(x, block_rO)
        r = int(block_rO.shape[0])
        x = F.pad(x, [0, -x.shape[-1] % r], data_format="NCL") if x.shape[-1] % r else x
        parts = self.miss_dropout[adapter](x).reshape([*x.shape[:-1], -1, r])
        return parts.sum(axis=-2) @ block_rO.astype(x.dtype)

    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        active = [name for name in self.active_adapters if self.has(name)]
        multiplied = any(self.miss_fn[name] == "bat" for name in active)
        if self.disable_adapters or self.merged or not multiplied:
            return super().forward(x, *args, **kwargs)
        weight = self.weight
        for adapter in active:  # each multiplies what those before it made
            delta = self.get_delta_weight(adapter, weight)
            weight = weight.astype(delta.dtype) + delta
        bias = None if self.bias is None else self.bias.astype(x.dtype)
        return ops.linear(x, weight.astype(x.dtype), bias)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True

    def __repr__(self) -> str:
        return "miss." + super().__repr__()


def _split(weight_OI: paddle.Tensor, r: int) -> paddle.Tensor:
    """``[I / r, O / r, r, r]``."""
    out, inner = weight_OI.shape
    return weight_OI.reshape([out // r, r, inner // r, r]).transpose([2, 0, 1, 3])


def _join(parts: paddle.Tensor, shape: list[int]) -> paddle.Tensor:
    return parts.transpose([1, 2, 0, 3]).reshape(shape)


class MissModel(SimpleTuner):
    """A model with MiSS in it."""

    prefix = "miss_"
    tuner_layer_cls = MissLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        from hfpaddle.peft.utils import layers

        return layers.is_linear(base)
