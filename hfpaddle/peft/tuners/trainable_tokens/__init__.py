"""Trainable tokens: chosen rows of an embedding are trained, the others stay."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.trainable_tokens.model import TrainableTokensModel
from hfpaddle.peft.utils.peft_types import register_peft_method

TrainableTokensConfig = CONFIGS["TRAINABLE_TOKENS"]
__all__ = ["TrainableTokensConfig", "TrainableTokensModel"]

register_peft_method(
    name="trainable_tokens", config_cls=TrainableTokensConfig, model_cls=TrainableTokensModel
)
