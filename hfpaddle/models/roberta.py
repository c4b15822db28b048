"""RoBERTa encoder: BERT with positions that skip padding, and heads of its own.

Source: arXiv:1907.11692; checkpoints `FacebookAI/roberta-*`.
Shape letters: B batch, S sequence, H hidden, V vocabulary, C classes.
"""

from __future__ import annotations

from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import KeyMap, Tie
from hfpaddle.layers import Dropout, LayerNorm, Linear, activation, parameter
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.post_norm import EncoderEmbeddings
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder import OLD_SPELLINGS, EncoderModel, base_plan
from hfpaddle.modeling.encoder_heads import (
    EncoderForCausalLM,
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForSequenceClassification,
    classifier_dropout,
)
from hfpaddle.modeling.registry import register_model


class RobertaEmbeddings(EncoderEmbeddings):
    """Positions begin after the padding token's id; padding itself stays at that position."""

    def __init__(self, *args: Any, padding_idx: int, **kwargs: Any) -> None:
        super().__init__(*args, padding_idx=padding_idx, position_padding=padding_idx, **kwargs)
        in_order(self, "LayerNorm", "dropout", "position_embeddings")
        self.padding_idx = padding_idx

    def positions(
        self, input_ids_BS: paddle.Tensor | None, x_BSH: paddle.Tensor, past: int
    ) -> paddle.Tensor:
        first = self.padding_idx + 1
        if input_ids_BS is None:
            # Embeddings do not tell where padding is.
            return paddle.arange(first, first + x_BSH.shape[1]).unsqueeze(0).to(x_BSH.place)
        real_BS = (input_ids_BS != self.padding_idx).astype("int64")
        return (real_BS.cumsum(axis=1) + past) * real_BS + self.padding_idx


class RobertaLMHead(nn.Layer):
    """Scores of each token; ``bias`` is what checkpoints hold, ``decoder.bias`` is tied to it."""

    def __init__(self, hidden_size: int, vocab_size: int, eps: float) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)
        self.layer_norm = LayerNorm(hidden_size, eps)
        self.decoder = Linear(hidden_size, vocab_size)
        self.bias = parameter([vocab_size])
        self.act = activation("gelu")

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.decoder(self.layer_norm(self.act(self.dense(x_BSH))))


class RobertaVocabulary:
    """Mixin: the masked-language-model head."""

    output_embedding_path = "lm_head.decoder"

    def build(self, config: Any) -> None:
        self.lm_head = RobertaLMHead(config.hidden_size, config.vocab_size, config.layer_norm_eps)

    def predict(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.lm_head(x_BSH)

    def _after_resize(self, rows: int) -> None:
        self.lm_head.bias = self.lm_head.decoder.bias


class ClassificationHead(nn.Layer):
    """Two projections of the first token, with dropout before each."""

    def __init__(self, hidden_size: int, num_labels: int, dropout: float, act: str) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)
        self.activation = activation(act)
        self.dropout = Dropout(dropout)
        self.out_proj = Linear(hidden_size, num_labels)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        x_BH = self.activation(self.dense(self.dropout(x_BSH[:, 0])))
        return self.out_proj(self.dropout(x_BH))


class RobertaClassifier(EncoderForSequenceClassification):
    """Scores the whole sequence from its first token."""

    pooling = False
    act = "tanh"

    def build(self, config: Any) -> None:
        self.classifier = ClassificationHead(
            config.hidden_size, config.num_labels, classifier_dropout(config), self.act
        )

    def score(self, outputs: Any, attention_mask: Any) -> paddle.Tensor:
        return self.classifier(outputs.last_hidden_state)


class RobertaChoice(EncoderForMultipleChoice):
    """Scores each of several texts; the inputs have an axis of choices after the batch's."""

    inputs = ("input_ids", "token_type_ids", "attention_mask", ..., "position_ids", "inputs_embeds")

    def build(self, config: Any) -> None:
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = Linear(config.hidden_size, 1)


class RobertaPreTrainedModel(PreTrainedModel):
    """What all RoBERTa classes share; derive from it to write a head of your own."""

    config_class = transformers.RobertaConfig
    base_model_prefix = "roberta"
    key_map = OLD_SPELLINGS + KeyMap(
        (
            Tie("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
            Tie("lm_head.decoder.bias", "lm_head.bias"),
        )
    )
    neutral_config_keys = frozenset({"classifier_dropout"})  # read by the heads that apply it
    plan = base_plan("roberta")


@register_model("roberta")
class RobertaModel(EncoderModel, RobertaPreTrainedModel):
    """BERT's encoder with RoBERTa's positions."""

    head_classes = {
        "AutoModelForMaskedLM": (RobertaVocabulary, EncoderForMaskedLM),
        "AutoModelForCausalLM": (RobertaVocabulary, EncoderForCausalLM),
        "AutoModelForSequenceClassification": (RobertaClassifier,),
        "AutoModelForMultipleChoice": (RobertaChoice,),
    }

    def make_embeddings(self, config: Any) -> nn.Layer:
        return RobertaEmbeddings(
            config.vocab_size,
            config.hidden_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            padding_idx=config.pad_token_id,
            eps=config.layer_norm_eps,
            dropout=config.hidden_dropout_prob,
        )
