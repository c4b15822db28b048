"""LoKr in a model."""

from __future__ import annotations

from typing import Any

from hfpaddle.peft.tuners.lokr.layer import LoKrLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LOKR_TARGET_MODULES_MAPPING


class LoKrModel(SimpleTuner):
    """A model with LoKr adapters in it."""

    prefix = "lokr_"
    tuner_layer_cls = LoKrLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LOKR_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return super().supports(base) or layers.conv_dims(base) in (1, 2)
