"""AdaLoRA: singular values that are pruned while training (arXiv:2303.10512)."""

from hfpaddle.peft.tuners.adalora.config import AdaLoraConfig
from hfpaddle.peft.tuners.adalora.model import AdaLoraModel
from hfpaddle.peft.utils.peft_types import register_peft_method

__all__ = ["AdaLoraConfig", "AdaLoraModel"]

register_peft_method(
    name="adalora", config_cls=AdaLoraConfig, model_cls=AdaLoraModel, prefix="lora_",
    is_mixed_compatible=True,
)  # fmt: skip
