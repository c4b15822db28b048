"""HRA: Householder reflection adaptation (arXiv:2405.17484)."""

from hfpaddle.peft.tuners.hra.config import HRAConfig
from hfpaddle.peft.tuners.hra.model import HRAModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["HRAConfig", "HRAModel"]

register_peft_method(name="hra", config_cls=HRAConfig, model_cls=HRAModel)
