"""VB-LoRA: factors are mixtures of shared vectors (arXiv:2405.15179)."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.vblora.model import VBLoRAModel
from hfpaddle.peft.utils.peft_types import register_peft_method

VBLoRAConfig = CONFIGS["VBLORA"]
__all__ = ["VBLoRAConfig", "VBLoRAModel"]

register_peft_method(name="vblora", config_cls=VBLoRAConfig, model_cls=VBLoRAModel)
