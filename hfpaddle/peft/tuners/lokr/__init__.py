"""LoKr: a Kronecker product (arXiv:2309.14859)."""

from hfpaddle.peft.tuners.lokr.config import LoKrConfig
from hfpaddle.peft.tuners.lokr.model import LoKrModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["LoKrConfig", "LoKrModel"]

register_peft_method(
    name="lokr", config_cls=LoKrConfig, model_cls=LoKrModel,
    is_mixed_compatible=True,
)  # fmt: skip
