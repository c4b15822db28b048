"""OFT: orthogonal finetuning (arXiv:2306.07280, arXiv:2506.19847)."""

from hfpaddle.peft.tuners.oft.config import OFTConfig
from hfpaddle.peft.tuners.oft.model import OFTModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["OFTConfig", "OFTModel"]

register_peft_method(name="oft", config_cls=OFTConfig, model_cls=OFTModel, is_mixed_compatible=True)
