"""BOFT with one butterfly factor (arXiv:2311.06243)."""

from hfpaddle.peft.tuners.boft.config import BOFTConfig
from hfpaddle.peft.tuners.boft.model import BOFTModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["BOFTConfig", "BOFTModel"]

register_peft_method(name="boft", config_cls=BOFTConfig, model_cls=BOFTModel)
