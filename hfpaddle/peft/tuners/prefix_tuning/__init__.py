"""Prefix tuning (arXiv:2101.00190)."""

from hfpaddle.peft.tuners.prefix_tuning.config import PrefixTuningConfig
from hfpaddle.peft.tuners.prefix_tuning.model import PrefixEncoder
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["PrefixEncoder", "PrefixTuningConfig"]

register_peft_method(name="prefix_tuning", config_cls=PrefixTuningConfig, model_cls=PrefixEncoder)
