"""BOFT in a model."""

from __future__ import annotations

from hfpaddle.peft.tuners.boft.layer import BOFTLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_BOFT_TARGET_MODULES_MAPPING


class BOFTModel(SimpleTuner):
    """A model with rotations and scales in it."""

    prefix = "boft_"
    tuner_layer_cls = BOFTLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_BOFT_TARGET_MODULES_MAPPING
