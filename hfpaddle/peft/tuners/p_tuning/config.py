"""Config of p-tuning."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from hfpaddle.peft.config import PromptLearningConfig, helped
from hfpaddle.peft.utils.peft_types import PeftType


class PromptEncoderReparameterizationType(str, enum.Enum):
    """The network that makes the virtual tokens."""

    MLP = "MLP"
    LSTM = "LSTM"


@dataclass
class PromptEncoderConfig(PromptLearningConfig):
    """Embeddings of virtual tokens, made by a network from embeddings of its own.

    Args:
        encoder_reparameterization_type: "MLP" or "LSTM".
        encoder_hidden_size, encoder_num_layers, encoder_dropout: of the network; an MLP has
            two hidden layers whatever is given.
    """

    encoder_reparameterization_type: Any = helped(
        "MLP or LSTM.", PromptEncoderReparameterizationType.MLP
    )
    encoder_hidden_size: int | None = helped("Hidden size of the network.")
    encoder_num_layers: int = helped("Layers of the LSTM.", 2)
    encoder_dropout: float = helped("Dropout of the LSTM.", 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.P_TUNING
