"""(IA)^3: scales for keys, values and activations (arXiv:2205.05638)."""

from hfpaddle.peft.tuners.ia3.config import IA3Config
from hfpaddle.peft.tuners.ia3.model import IA3Model
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["IA3Config", "IA3Model"]

register_peft_method(
    name="ia3", config_cls=IA3Config, model_cls=IA3Model, is_mixed_compatible=False
)
