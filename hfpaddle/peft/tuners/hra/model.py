"""HRA in a model."""

from __future__ import annotations

from hfpaddle.peft.tuners.hra.layer import HRALayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_HRA_TARGET_MODULES_MAPPING


class HRAModel(SimpleTuner):
    """A model with reflections in it."""

    prefix = "hra_"
    tuner_layer_cls = HRALayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_HRA_TARGET_MODULES_MAPPING
