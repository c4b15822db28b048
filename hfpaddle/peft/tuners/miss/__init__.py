"""MiSS: one small matrix, repeated over the weight (arXiv:2409.15371)."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.miss.model import MissModel
from hfpaddle.peft.utils.peft_types import register_peft_method

MissConfig = CONFIGS["MISS"]
__all__ = ["MissConfig", "MissModel"]

register_peft_method(name="miss", config_cls=MissConfig, model_cls=MissModel)
