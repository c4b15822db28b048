"""Config of prefix tuning."""

from __future__ import annotations

from dataclasses import dataclass

from hfpaddle.peft.config import PromptLearningConfig, helped
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class PrefixTuningConfig(PromptLearningConfig):
    """Keys and values of virtual tokens, in front of every layer's own.

    Args:
        init_weights: None draws them, "zero" begins with zeros.
        encoder_hidden_size: of the projection; the model's by default.
        prefix_projection: make them from embeddings by a small network while training.
    """

    init_weights: str | None = helped("None or 'zero'.")
    encoder_hidden_size: int | None = helped("Hidden size of the projection.")
    prefix_projection: bool = helped("Whether a network makes the keys and values.", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.PREFIX_TUNING
