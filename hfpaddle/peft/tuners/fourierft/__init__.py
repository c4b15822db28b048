"""FourierFT: a few frequencies of the change of each weight (arXiv:2405.03003)."""

from hfpaddle.peft.tuners.fourierft.config import FourierFTConfig
from hfpaddle.peft.tuners.fourierft.model import FourierFTModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["FourierFTConfig", "FourierFTModel"]

register_peft_method(name="fourierft", config_cls=FourierFTConfig, model_cls=FourierFTModel)
