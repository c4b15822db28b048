"""LoHa: the Hadamard product of two low-rank products (arXiv:2108.06098)."""

from hfpaddle.peft.tuners.loha.config import LoHaConfig
from hfpaddle.peft.tuners.loha.model import LoHaModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["LoHaConfig", "LoHaModel"]

register_peft_method(
    name="loha", config_cls=LoHaConfig, model_cls=LoHaModel, prefix="hada_",
    is_mixed_compatible=True,
)  # fmt: skip
