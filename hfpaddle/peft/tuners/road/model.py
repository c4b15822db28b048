"""RoAd beside linear layers.

Shape letters: O out, g size of a group.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal, write
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING


class RoadLayer(BaseTunerLayer):
    """The output's first and second half of each group are the coordinates that are turned.

    ``theta`` and ``alpha`` have ``O / 2`` ("road_1"), ``O`` ("road_2") or ``2 O`` ("road_4")
    elements.
    """

    adapter_layer_names = ("road_theta", "road_alpha")
    other_param_names = ("variant", "group_size")

    def __init__(self, base_layer: nn.Layer, adapter_name: str, config: Any) -> None:
        super().__init__(base_layer)
        self.variant: dict[str, str] = {}
        self.group_size: dict[str, int] = {}
        self.road_theta, self.road_alpha = ParameterDict(), ParameterDict()
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter. Raises: ValueError if groups do not divide the output."""
        out, group = int(self.out_features or 0), config.group_size
        if out % group:
            raise ValueError(
                f"The out_features of the base layer must be divisible by group_size ({group}) "
                "when using RoadLayer."
            )
        self.variant[adapter_name], self.group_size[adapter_name] = config.variant, group
        size = {"road_1": out // 2, "road_2": out, "road_4": out * 2}[config.variant]
        theta, alpha = np.zeros([size], "float32"), np.ones([size], "float32")
        if config.init_weights is False:
            theta = normal([size], 0.5)
            alpha = 1 + normal([size], 0.5)
        self.road_theta[adapter_name] = new_parameter(theta)
        self.road_alpha[adapter_name] = new_parameter(alpha)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def columns(self, adapter: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Factors of each output itself, and of the one that it is paired with, ``[O]``."""
        theta = self.road_theta[adapter].astype("float32")
        alpha = self.road_alpha[adapter].astype("float32")
        group = self.group_size[adapter]
        if self.variant[adapter] == "road_4":
            theta, alpha = theta.reshape([-1, 2, group]), alpha.reshape([-1, 2, group])
            first = alpha[:, 0] * theta[:, 0].cos()
            return first.flatten(), (alpha[:, 1] * theta[:, 1].sin()).flatten()
        if self.variant[adapter] == "road_1":
            halves = [-1, group // 2]
            theta, alpha = (
                t.reshape(halves).repeat_interleave(2, axis=0).flatten() for t in (theta, alpha)
            )
        return alpha * theta.cos(), alpha * theta.sin()

    def turn(self, adapter: str, y: paddle.Tensor) -> paddle.Tensor:
        """``y`` ``[..., O]`` turned and scaled."""
        half = self.group_size[adapter] // 2
        own, other = (c.astype(y.dtype) for c in self.columns(adapter))
        pairs = y.reshape([-1, 2, half])
        swapped = paddle.stack([-pairs[:, 1], pairs[:, 0]], axis=1).reshape(y.shape)
        return y * own + swapped * other

    def _set(self, adapter: str, back: bool, safe: bool) -> None:
        """Turn the base weight and bias, or turn them back."""
        base = self.get_base_layer()
        with paddle.no_grad():
            one = paddle.eye(int(self.out_features), dtype="float32")
            matrix = self.turn(adapter, one).T
            matrix = paddle.linalg.inv(matrix) if back else matrix
            new = {"weight": matrix @ base.weight.detach().astype("float32")}
            if base.bias is not None:
                new["bias"] = matrix @ base.bias.detach().astype("float32")
        for name, value in new.items():
            write(getattr(base, name), self.checked_finite(value, adapter) if safe else value)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Turn the base weight; ``safe_merge`` refuses what is not finite."""
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter in self.road_theta:
                self._set(adapter, False, safe_merge)
                self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Turn the base weight back."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            if adapter in self.road_theta:
                self._set(adapter, True, False)

    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        dtype = result.dtype
        for adapter in self.active_adapters:
            if adapter in self.road_theta:
                result = self.turn(
                    adapter, self._cast_input_dtype(result, self.road_theta[adapter])
                )
        return result.astype(dtype)

    def __repr__(self) -> str:
        return "road." + super().__repr__()


class RoadModel(SimpleTuner):
    """A model with turned outputs in it."""

    prefix = "road_"
    tuner_layer_cls = RoadLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return layers.is_linear(base)
