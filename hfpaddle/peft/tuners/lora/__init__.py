"""LoRA, with DoRA, rank-stabilised scaling and the initialisations of PiSSA and OLoRA."""

from hfpaddle.peft.tuners.lora.config import (
    ArrowConfig,
    BdLoraConfig,
    EvaConfig,
    KasaConfig,
    LoftQConfig,
    LoraConfig,
    LoraGAConfig,
    LoraRuntimeConfig,
    MontecloraConfig,
    VeloraConfig,
)
from hfpaddle.peft.tuners.lora.layer import Conv1d, Conv2d, Conv3d, Embedding, Linear, LoraLayer
from hfpaddle.peft.tuners.lora.model import LoraModel
from hfpaddle.peft.utils.peft_types import register_peft_method

# Names that the package of all methods has too.
__all__ = [
    "ArrowConfig", "BdLoraConfig", "EvaConfig", "KasaConfig", "LoftQConfig", "LoraConfig",
    "LoraGAConfig", "LoraModel", "LoraRuntimeConfig", "MontecloraConfig", "VeloraConfig",
]  # fmt: skip
_INSIDE = (Conv1d, Conv2d, Conv3d, Embedding, Linear, LoraLayer)

register_peft_method(
    name="lora", config_cls=LoraConfig, model_cls=LoraModel, is_mixed_compatible=True
)
