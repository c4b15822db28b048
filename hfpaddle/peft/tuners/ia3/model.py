"""(IA)^3 in a model."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import paddle

from hfpaddle.peft.tuners.ia3.layer import IA3Layer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import constants, layers
from hfpaddle.peft.utils.arrays import write
from hfpaddle.peft.utils.other import _freeze_adapter
from hfpaddle.peft.utils.wrappers import ModulesToSaveWrapper


class IA3Model(SimpleTuner):
    """A model with scales in it."""

    prefix = "ia3_"
    tuner_layer_cls = IA3Layer
    target_module_mapping = constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return (
            super().supports(base)
            or layers.is_conv1d_linear(base)
            or layers.conv_dims(base) in (2, 3)
        )

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        names = config.feedforward_modules
        if isinstance(names, str):
            return {"is_feedforward": bool(re.fullmatch(names, key))}
        return {"is_feedforward": any(key.endswith(name) for name in names)}

    def _prepare_adapter_config(self, peft_config: Any, config: dict[str, Any]) -> Any:
        super()._prepare_adapter_config(peft_config, config)
        if peft_config.feedforward_modules is None:
            table = constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
            if config["model_type"] not in table:
                raise ValueError("Please specify `feedforward_modules` in `peft_config`")
            peft_config.feedforward_modules = set(table[config["model_type"]])
        return peft_config

    def add_weighted_adapter(
        self, adapters: list[str], weights: list[float], adapter_name: str
    ) -> None:
        """Make ``adapter_name`` the weighted sum of the scales of ``adapters``.

        Raises: ValueError for adapters that do not exist or do not fit together.
        """
        if adapter_name in self.peft_config:
            return
        for adapter in adapters:
            if adapter not in self.peft_config:
                raise ValueError(f"Adapter {adapter} does not exist")
        for layer in self.sublayers():
            if isinstance(layer, ModulesToSaveWrapper):
                if sum(adapter in layer.modules_to_save for adapter in adapters) > 1:
                    raise ValueError(
                        "Cannot add weighted adapters targeting the same module with "
                        "modules_to_save."
                    )
        configs = [self.peft_config[adapter] for adapter in adapters]
        names = {
            field: _joined([getattr(config, field) for config in configs])
            for field in ("target_modules", "feedforward_modules")
        }
        self.peft_config[adapter_name] = replace(configs[0], **names)
        self.inject_adapter(self.model, adapter_name)
        _freeze_adapter(self.model, adapter_name)
        for layer in self.model.sublayers():
            if isinstance(layer, IA3Layer) and adapter_name in layer.ia3_l:
                total = paddle.zeros_like(layer.ia3_l[adapter_name])
                for adapter, weight in zip(adapters, weights, strict=True):
                    if adapter in layer.ia3_l:
                        total = total + layer.ia3_l[adapter].detach() * weight
                write(layer.ia3_l[adapter_name], total)


def _joined(values: list[Any]) -> Any:
    kinds = {type(value) for value in values}
    if len(kinds) > 1:
        raise ValueError(
            "All adapter configs should have the same type for target and feedforward modules."
        )
    return "|".join(f"({v})" for v in values) if kinds == {str} else set().union(*values)
