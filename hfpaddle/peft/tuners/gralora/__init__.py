"""GraLoRA: low rank in each block of the weight (arXiv:2505.20355)."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.gralora.model import GraloraModel
from hfpaddle.peft.utils.peft_types import register_peft_method

GraloraConfig = CONFIGS["GRALORA"]
__all__ = ["GraloraConfig", "GraloraModel"]

register_peft_method(name="gralora", config_cls=GraloraConfig, model_cls=GraloraModel)
