"""P-tuning (arXiv:2103.10385)."""

from hfpaddle.peft.tuners.p_tuning.config import (
    PromptEncoderConfig,
    PromptEncoderReparameterizationType,
)
from hfpaddle.peft.tuners.p_tuning.model import PromptEncoder
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["PromptEncoder", "PromptEncoderConfig", "PromptEncoderReparameterizationType"]

register_peft_method(name="p_tuning", config_cls=PromptEncoderConfig, model_cls=PromptEncoder)
