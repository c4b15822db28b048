"""BEFT beside linear layers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle

from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal, write
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_BEFT_TARGET_MODULES_MAPPING


class BeftLayer(AdditiveLayer):
    """A linear layer with a trained bias ``[1, out]`` beside its own."""

    adapter_layer_names = ("beft_bias",)

    def make_holders(self) -> None:
        self.beft_bias = ParameterDict()

    def has(self, adapter: str) -> bool:
        return adapter in self.beft_bias

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter; it cannot be merged where the layer has no bias."""
        if self.bias is None:
            warnings.warn(
                "Detected that the base layer has no bias term. Note you cannot merge the BEFT "
                "adapter into the base layer.",
                stacklevel=4,
            )
        drawn = normal([1, self.out_features])
        values = np.zeros_like(drawn) if config.init_weights else drawn
        self.beft_bias[adapter_name] = new_parameter(values)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        return self.beft_bias[adapter].flatten().astype(x.dtype)

    def _add(self, adapter: str, sign: float, safe: bool) -> None:
        bias = self.bias
        if bias is None:
            raise ValueError(f"Base layer has no bias, cannot merge bias adapter {adapter}")
        with paddle.no_grad():
            more = self.beft_bias[adapter].flatten().astype("float32")
            value = bias.detach().astype("float32") + sign * more
        write(bias, self.checked_finite(value, adapter) if safe else value)

    def __repr__(self) -> str:
        return "beft." + super().__repr__()


class BeftModel(SimpleTuner):
    """A model some biases of which are trained."""

    prefix = "beft_"
    tuner_layer_cls = BeftLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_BEFT_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return layers.is_linear(base)
