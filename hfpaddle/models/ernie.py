"""ERNIE 1.0 to 3.0 encoder: BERT with optional task-type embeddings.

Source: arXiv:1904.09223, arXiv:1907.12412, arXiv:2107.02137; checkpoints `nghuyong/ernie-*`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.layers import Embedding
from hfpaddle.layers.post_norm import EncoderEmbeddings
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder import OLD_SPELLINGS, EncoderModel, base_plan
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.bert import (
    BertForPreTrainingOutput,
    BertModel,
    BertPreTraining,
    vocabulary_ties,
)


class ErnieEmbeddings(EncoderEmbeddings):
    """BERT's sum, plus an embedding of the task where the config says so."""

    def __init__(self, *args: Any, tasks: int | None) -> None:
        super().__init__(*args)
        self.use_task_id = tasks is not None
        if tasks is not None:
            self.task_type_embeddings = Embedding(tasks, self.hidden_size)

    def forward(self, *args: Any, task_type_ids: paddle.Tensor | None = None) -> paddle.Tensor:
        x_BSH = self.add_all(*args)
        if self.use_task_id:
            if task_type_ids is None:
                task_type_ids = paddle.zeros([1, x_BSH.shape[1]], dtype="int64").to(x_BSH.place)
            x_BSH = x_BSH + self.task_type_embeddings(task_type_ids.astype("int64"))
        return self.dropout(self.LayerNorm(x_BSH))


@dataclass
class ErnieForPreTrainingOutput(BertForPreTrainingOutput):
    """``prediction_logits`` ``[B, S, V]`` and ``seq_relationship_logits`` ``[B, 2]``."""


class ErniePreTraining(BertPreTraining):
    """Both heads that ERNIE was trained with."""

    output_class = ErnieForPreTrainingOutput


class ErniePreTrainedModel(PreTrainedModel):
    """What all ERNIE classes share; derive from it to write a head of your own."""

    config_class = transformers.ErnieConfig
    base_model_prefix = "ernie"
    key_map = OLD_SPELLINGS + vocabulary_ties("ernie")
    neutral_config_keys = frozenset({"classifier_dropout"})  # read by the heads that apply it
    plan = base_plan("ernie")


@register_model("ernie")
class ErnieModel(EncoderModel, ErniePreTrainedModel):
    """BERT's encoder with ERNIE's embeddings."""

    embedding_inputs = ("task_type_ids",)
    head_classes = {**BertModel.head_classes, "AutoModelForPreTraining": (ErniePreTraining,)}

    def make_embeddings(self, config: Any) -> nn.Layer:
        tasks = config.task_type_vocab_size
        return ErnieEmbeddings(
            config.vocab_size,
            config.hidden_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.pad_token_id,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
            tasks=tasks if config.use_task_id else None,
        )
