"""BEFT: a bias of the targeted modules is trained (arXiv:2509.15974)."""

from hfpaddle.peft.tuners.beft.model import BeftModel
from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.utils.peft_types import register_peft_method

BeftConfig = CONFIGS["BEFT"]
__all__ = ["BeftConfig", "BeftModel"]

register_peft_method(name="beft", config_cls=BeftConfig, model_cls=BeftModel)
