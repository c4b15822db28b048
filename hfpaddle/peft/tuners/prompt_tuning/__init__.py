"""Prompt tuning (arXiv:2104.08691)."""

from hfpaddle.peft.tuners.prompt_tuning.config import PromptTuningConfig, PromptTuningInit
from hfpaddle.peft.tuners.prompt_tuning.model import PromptEmbedding
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["PromptEmbedding", "PromptTuningConfig", "PromptTuningInit"]

register_peft_method(name="prompt_tuning", config_cls=PromptTuningConfig, model_cls=PromptEmbedding)
