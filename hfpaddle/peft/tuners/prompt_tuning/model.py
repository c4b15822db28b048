"""Embeddings of virtual tokens."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core import rng
from hfpaddle.peft.tuners.prompt_base import BasePromptEncoder, Table
from hfpaddle.peft.tuners.prompt_tuning.config import PromptTuningInit
from hfpaddle.peft.utils.arrays import write


class PromptEmbedding(BasePromptEncoder):
    """Token numbers ``[B, n]`` to embeddings ``[B, n, H]``.

    Args:
        word_embeddings: the model's embedding, for prompts that begin as words.
    """

    def __init__(self, config: Any, word_embeddings: Any) -> None:
        super().__init__()
        rows = config.num_virtual_tokens * config.num_transformer_submodules
        self.embedding = Table(rows, config.token_dim)
        if config.inference_mode or config.prompt_tuning_init == PromptTuningInit.RANDOM:
            return
        if config.prompt_tuning_init == PromptTuningInit.SAMPLE_VOCAB:
            ids = rng.default_generator.randint(0, word_embeddings.weight.shape[0], [rows])
        else:
            ids = _text_ids(config, rows)
        with paddle.no_grad():
            ids = paddle.to_tensor(ids, dtype="int64", place=word_embeddings.weight.place)
            write(self.embedding.weight, word_embeddings(ids))

    @classmethod
    def make(cls, config: Any, word_embeddings: Any) -> PromptEmbedding:
        return cls(config, word_embeddings)

    def forward(self, indices: paddle.Tensor) -> paddle.Tensor:
        return self.embedding(indices)


def _text_ids(config: Any, rows: int) -> list[int]:
    """The text's tokens, repeated or cut to ``rows``."""
    from transformers import AutoTokenizer

    kwargs = dict(config.tokenizer_kwargs or {})
    kwargs.pop("trust_remote_code", None)  # a config must not be able to ask for it
    tokenizer = AutoTokenizer.from_pretrained(config.tokenizer_name_or_path, **kwargs)
    ids = tokenizer(config.prompt_tuning_init_text)["input_ids"]
    return (ids * -(-rows // len(ids)))[:rows]
