"""C3A: what is added to a weight has circulant blocks (arXiv:2407.19342)."""

from hfpaddle.peft.tuners.c3a.config import C3AConfig
from hfpaddle.peft.tuners.c3a.model import C3AModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["C3AConfig", "C3AModel"]

register_peft_method(name="c3a", config_cls=C3AConfig, model_cls=C3AModel)
