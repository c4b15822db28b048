"""VeRA in a model: the projections that all layers share."""

from __future__ import annotations

import math
import warnings
from typing import Any

import paddle
from paddle import nn

from hfpaddle.core import rng
from hfpaddle.peft.tuners import matching
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.tuners.tuners_utils import BaseTunerLayer
from hfpaddle.peft.tuners.vera.layer import VeraLayer
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import BufferDict
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_VERA_TARGET_MODULES_MAPPING


def _kaiming(shape: list[int], generator: Any) -> paddle.Tensor:
    """Uniform within sqrt(6 / inputs), as ``torch.nn.init.kaiming_uniform_`` for relu."""
    bound = math.sqrt(3.0) * (math.sqrt(2) / math.sqrt(shape[1]))
    return paddle.to_tensor(generator.uniform(tuple(shape), -bound, bound))


class VeraModel(SimpleTuner):
    """A model with VeRA adapters in it.

    Attributes:
        vera_A, vera_B: ``[r, largest in]`` and ``[largest out, r]`` by adapter name.
    """

    uses_shared_state = True
    prefix = "vera_lambda_"
    tuner_layer_cls = VeraLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_VERA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return super().supports(base) or layers.is_conv1d_linear(base)

    def _pre_injection_hook(self, model: nn.Layer, config: Any, adapter_name: str) -> None:
        self.vera_A = BufferDict(persistent=config.save_projection)
        self.vera_B = BufferDict(persistent=config.save_projection)

    def _prepare_model(self, peft_config: Any, model: nn.Layer) -> None:
        """Draw the projections of the adapter, or share those of the first one."""
        name = next(k for k, config in self.peft_config.items() if config is peft_config)
        if len(self.vera_A):
            first = next(iter(self.vera_A))
            self.vera_A[name], self.vera_B[name] = self.vera_A[first], self.vera_B[first]
            return
        matching.expand_all_linear(peft_config, model)
        inputs, outputs = [], []
        for key, module in model.named_sublayers():
            if not self._check_target_module_exists(peft_config, key):
                continue
            base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
            if self.supports(base):
                sizes = layers.in_out_features(base)
                inputs.append(sizes[0])
                outputs.append(sizes[1])
        if not inputs:
            raise ValueError(
                "No layers types compatible with VeRA were found. Please check "
                "`peft_config.target_modules`."
            )
        generator = rng.Generator().manual_seed(peft_config.projection_prng_key)
        self.vera_A[name] = _kaiming([peft_config.r, max(inputs)], generator)
        self.vera_B[name] = _kaiming([max(outputs), peft_config.r], generator)

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        return {"shared": (self.vera_A, self.vera_B)}

    def _check_new_adapter_config(self, config: Any) -> None:
        super()._check_new_adapter_config(config)
        for other in self.peft_config.values():
            if other.projection_prng_key != config.projection_prng_key:
                raise ValueError(
                    "Vera PRNG initialisation key must be the same for all adapters. Got "
                    f"config.projection_prng_key={config.projection_prng_key!r} but previous "
                    f"config had {other.projection_prng_key}."
                )
            if other.save_projection != config.save_projection:
                raise ValueError(
                    "VeRA projection weights must be saved for all adapters or none, but got "
                    "multiple different values: [False, True]"
                )

    @classmethod
    def _get_adapter_state_dict(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        kept = super()._get_adapter_state_dict(model, config, adapter_name, state_dict)
        kept = {k: v for k, v in kept.items() if ".vera_A." not in k and ".vera_B." not in k}
        if config.save_projection:
            for name in ("vera_A", "vera_B"):
                key = f"base_model.{name}.{adapter_name}"
                if key not in state_dict:
                    raise ValueError(
                        "Model was initialised to not save vera_A and vera_B but config now "
                        "specifies to save projection! Set `config.save_projection` to `False`."
                    )
                kept[key] = state_dict[key]
        return kept

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        remapped = super()._remap_adapter_state_dict_for_load(
            model, config, adapter_name, state_dict
        )
        if config.save_projection and f"base_model.vera_A.{adapter_name}" not in remapped:
            raise ValueError(
                "Specified to load vera_A and vera_B from state dictionary however they were not "
                "present!"
            )
        if not config.save_projection:
            warnings.warn(
                "vera_A and vera_B are not read: they were drawn from "
                "`config.projection_prng_key`.",
                stacklevel=4,
            )
        return remapped
