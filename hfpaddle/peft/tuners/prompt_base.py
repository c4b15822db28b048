"""What the encoders of virtual tokens share."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle.peft.utils.arrays import new_parameter, normal, write


class Table(nn.Layer):
    """A plain table of rows, drawn as ``torch.nn.Embedding`` draws it."""

    def __init__(self, rows: int, size: int) -> None:
        super().__init__()
        self.weight = new_parameter(normal([rows, size]))

    def forward(self, ids: paddle.Tensor) -> paddle.Tensor:
        return F.embedding(ids, self.weight)


class BasePromptEncoder(nn.Layer):
    """Gives embeddings of virtual tokens; ``embedding`` holds them, or what they are made of."""

    prefix_of_class = None
    embedding: Table

    @classmethod
    def make(cls, config: Any, word_embeddings: Any) -> Any:
        """The encoder for a config; a method that starts from words overrides it."""
        return cls(config)  # type: ignore[call-arg]

    @classmethod
    def _get_adapter_state_dict(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        if config.inference_mode:
            return {"prompt_embeddings": model.prompt_encoder[adapter_name].embedding.weight}
        return {"prompt_embeddings": model.get_prompt_embedding_to_save(adapter_name)}

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        head, dot, last = key.rpartition(".")
        return f"{head.removesuffix(f'.{adapter_name}')}{dot}{last}"

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        return state_dict

    def _load_adapter_state_dict(self, state_dict: dict[str, Any]) -> None:
        write(self.embedding.weight, state_dict["prompt_embeddings"])
