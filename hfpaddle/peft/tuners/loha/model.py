"""LoHa in a model."""

from __future__ import annotations

from typing import Any

from hfpaddle.peft.tuners.loha.layer import LoHaLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LOHA_TARGET_MODULES_MAPPING


class LoHaModel(SimpleTuner):
    """A model with LoHa adapters in it."""

    prefix = "hada_"
    tuner_layer_cls = LoHaLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LOHA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return super().supports(base) or layers.conv_dims(base) in (1, 2)
