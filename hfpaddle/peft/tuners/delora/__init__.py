"""DeLoRA: low rank with bounded strength (arXiv:2503.18225)."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.delora.model import DeloraModel
from hfpaddle.peft.utils.peft_types import register_peft_method

DeloraConfig = CONFIGS["DELORA"]
__all__ = ["DeloraConfig", "DeloraModel"]

register_peft_method(name="delora", config_cls=DeloraConfig, model_cls=DeloraModel)
