"""Tuning of norms alone (arXiv:2312.11420)."""

from hfpaddle.peft.tuners.ln_tuning.config import LNTuningConfig
from hfpaddle.peft.tuners.ln_tuning.model import LNTuningModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["LNTuningConfig", "LNTuningModel"]

register_peft_method(name="ln_tuning", config_cls=LNTuningConfig, model_cls=LNTuningModel)
