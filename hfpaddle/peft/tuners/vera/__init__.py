"""VeRA: trained scales between shared random projections (arXiv:2310.11454)."""

from hfpaddle.peft.tuners.vera.config import VeraConfig
from hfpaddle.peft.tuners.vera.model import VeraModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["VeraConfig", "VeraModel"]

register_peft_method(name="vera", config_cls=VeraConfig, model_cls=VeraModel, prefix="vera_lambda_")
