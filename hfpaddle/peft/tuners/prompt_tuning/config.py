"""Config of prompt tuning."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from hfpaddle.peft.config import PromptLearningConfig, helped
from hfpaddle.peft.utils.peft_types import PeftType


class PromptTuningInit(str, enum.Enum):
    """What virtual tokens begin as."""

    TEXT = "TEXT"
    SAMPLE_VOCAB = "SAMPLE_VOCAB"
    RANDOM = "RANDOM"


@dataclass
class PromptTuningConfig(PromptLearningConfig):
    """Embeddings of virtual tokens in front of the input's.

    Args:
        prompt_tuning_init: "RANDOM", "SAMPLE_VOCAB" (embeddings of random tokens) or "TEXT" (of
            the tokens of ``prompt_tuning_init_text``, cut or repeated).
        tokenizer_name_or_path, tokenizer_kwargs: who cuts the text into tokens.
    Raises: ValueError for a text without tokenizer or the reverse.
    """

    prompt_tuning_init: Any = helped("RANDOM, SAMPLE_VOCAB or TEXT.", PromptTuningInit.RANDOM)
    prompt_tuning_init_text: str | None = helped("What to begin with.")
    tokenizer_name_or_path: str | None = helped("Folder or Hub id of the tokenizer.")
    tokenizer_kwargs: dict | None = helped("Arguments of the tokenizer's from_pretrained.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.PROMPT_TUNING
        text = self.prompt_tuning_init == PromptTuningInit.TEXT
        for name in ("tokenizer_name_or_path", "prompt_tuning_init_text"):
            value = getattr(self, name)
            if text and (value is None or (name.startswith("tok") and not value)):
                raise ValueError(f"When prompt_tuning_init='TEXT', {name} can't be {value}.")
        if self.tokenizer_kwargs and not text:
            raise ValueError("tokenizer_kwargs only valid when using prompt_tuning_init='TEXT'.")
