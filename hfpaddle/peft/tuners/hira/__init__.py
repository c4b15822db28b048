"""HiRA: the base weight times a low-rank matrix, element by element."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.hira.model import HiraModel
from hfpaddle.peft.utils.peft_types import register_peft_method

HiraConfig = CONFIGS["HIRA"]
__all__ = ["HiraConfig", "HiraModel"]

register_peft_method(name="hira", config_cls=HiraConfig, model_cls=HiraModel)
