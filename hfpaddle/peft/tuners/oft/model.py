"""OFT in a model."""

from __future__ import annotations

from typing import Any

from hfpaddle.peft.tuners.oft.layer import OFTLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_OFT_TARGET_MODULES_MAPPING


class OFTModel(SimpleTuner):
    """A model with rotations in it."""

    prefix = "oft_"
    tuner_layer_cls = OFTLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_OFT_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return super().supports(base) or layers.is_embedding(base)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        if any(".oft_r." in key or key.endswith(".oft_r") for key in state_dict):
            raise ValueError(
                "Trying to load old OFT checkpoint, which is no longer supported. Please install "
                "PEFT <= v0.15.2 to load it or train a new OFT adapter."
            )
        return super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
