"""DistilBERT encoder: half of BERT's blocks, no token types, no pooler.

Source: arXiv:1910.01108; checkpoints `distilbert/distilbert-*`.
Shape letters: B batch, S sequence, H hidden, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle.converters.keymap import KeyMap, Tie
from hfpaddle.layers import MLP, Attention, Dropout, LayerNorm, Linear, activation
from hfpaddle.layers.parameter import fill
from hfpaddle.layers.post_norm import EncoderEmbeddings
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder import OLD_SPELLINGS, Blocks, EncoderModel
from hfpaddle.modeling.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from hfpaddle.modeling.outputs import BaseModelOutput
from hfpaddle.modeling.registry import register_model

EPS = 1e-12  # of every norm; the config has no field for it


class TransformerBlock(nn.Layer):
    """BERT's post-norm block under DistilBERT's names."""

    def __init__(self, hidden_size: int, attention: nn.Layer, ffn: nn.Layer) -> None:
        super().__init__()
        self.attention, self.ffn = attention, ffn
        self.sa_layer_norm = LayerNorm(hidden_size, EPS)
        self.output_layer_norm = LayerNorm(hidden_size, EPS)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = self.sa_layer_norm(self.attention(x_BSH, state) + x_BSH)
        return self.output_layer_norm(self.ffn(x_BSH) + x_BSH)


def sinusoids(positions: int, width: int) -> np.ndarray:
    """Return the fixed position table ``[positions, width]`` of arXiv:1706.03762, section 3.5."""
    columns = np.arange(width)
    angles = np.arange(positions)[:, None] / np.power(10000.0, 2 * (columns // 2) / width)
    return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles)).astype("float32")


class DistilBertMaskedLM(EncoderForMaskedLM):
    """Scores every token of the vocabulary at each position."""

    output_embedding_path = "vocab_projector"

    def build(self, config: Any) -> None:
        self.activation = activation(config.activation)
        self.vocab_transform = Linear(config.dim, config.dim)
        self.vocab_layer_norm = LayerNorm(config.dim, EPS)
        self.vocab_projector = Linear(config.dim, config.vocab_size)

    def predict(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        x_BSH = self.vocab_layer_norm(self.activation(self.vocab_transform(x_BSH)))
        return self.vocab_projector(x_BSH)


class FirstToken:
    """Mixin: two projections of the first token."""

    rows: int | None = None

    def build(self, config: Any) -> None:
        self.pre_classifier = Linear(config.dim, config.dim)
        self.classifier = Linear(config.dim, self.rows or config.num_labels)
        self.dropout = Dropout(config.seq_classif_dropout)

    def score(self, outputs: Any, attention_mask: Any) -> paddle.Tensor:
        x_BH = F.relu(self.pre_classifier(outputs.last_hidden_state[:, 0]))
        return self.classifier(self.dropout(x_BH))


class DistilBertClassifier(FirstToken, EncoderForSequenceClassification):
    """Scores the whole sequence from its first token."""


class DistilBertChoice(FirstToken, EncoderForMultipleChoice):
    """Scores each of several texts; the inputs have an axis of choices after the batch's."""

    rows = 1


class DistilBertTagger(EncoderForTokenClassification):
    """Scores every token."""

    def build(self, config: Any) -> None:
        self.dropout = Dropout(config.dropout)
        self.classifier = Linear(config.dim, config.num_labels)


class DistilBertAnswer(EncoderForQuestionAnswering):
    """Scores every token as the start and as the end of the answer."""

    def build(self, config: Any) -> None:
        self.qa_outputs = Linear(config.dim, config.num_labels)
        self.dropout = Dropout(config.qa_dropout)

    def score(self, outputs: Any) -> paddle.Tensor:
        return self.qa_outputs(self.dropout(outputs.last_hidden_state))


class DistilBertPreTrainedModel(PreTrainedModel):
    """What all DistilBERT classes share; derive from it to write a head of your own."""

    config_class = transformers.DistilBertConfig
    base_model_prefix = "distilbert"
    key_map = OLD_SPELLINGS + KeyMap(
        (Tie("vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight"),)
    )
    # Read by the heads that apply them.
    neutral_config_keys = frozenset({"qa_dropout", "seq_classif_dropout"})
    plan = {
        "distilbert.transformer.layer.*.attention.{q,k,v}_lin": "colwise",
        "distilbert.transformer.layer.*.attention.out_lin": "rowwise",
        "distilbert.transformer.layer.*.ffn.lin1": "colwise",
        "distilbert.transformer.layer.*.ffn.lin2": "rowwise",
    }

    def _init_weights(self, layer: nn.Layer) -> None:
        backbone = self.base_model
        table = getattr(getattr(backbone, "embeddings", None), "position_embeddings", None)
        if layer is table and backbone.sinusoidal:
            fill(layer.weight, lambda shape: sinusoids(*shape))
            layer.weight.stop_gradient = True
        else:
            super()._init_weights(layer)


@register_model("distilbert")
class DistilBertModel(EncoderModel, DistilBertPreTrainedModel):
    """Post-norm encoder with learned or sinusoidal positions."""

    output_class = BaseModelOutput
    has_pooler = False
    causal_config = False
    inputs = ("input_ids", "attention_mask", "inputs_embeds", ..., "position_ids")
    head_classes = {
        "AutoModelForMaskedLM": (DistilBertMaskedLM,),
        "AutoModelForSequenceClassification": (DistilBertClassifier,),
        "AutoModelForTokenClassification": (DistilBertTagger,),
        "AutoModelForQuestionAnswering": (DistilBertAnswer,),
        "AutoModelForMultipleChoice": (DistilBertChoice,),
    }

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.sinusoidal = config.sinusoidal_pos_embds
        if self.sinusoidal:
            self.embeddings.redraws = ("position_embeddings",)

    def make_embeddings(self, config: Any) -> nn.Layer:
        return EncoderEmbeddings(
            config.vocab_size,
            config.dim,
            config.max_position_embeddings,
            None,
            config.pad_token_id,
            EPS,
            config.dropout,
        )

    def make_block(self, config: Any, layer: int) -> nn.Layer:
        attention = Attention(
            config.dim,
            config.n_heads,
            config.n_heads,
            config.dim // config.n_heads,
            layer,
            bias=True,
            dropout=config.attention_dropout,
            rope=None,
            names=("q_lin", "k_lin", "v_lin", "out_lin"),
        )
        names = ("lin1", "lin2")
        ffn = MLP(config.dim, config.hidden_dim, config.activation, True, names, config.dropout)
        return TransformerBlock(config.dim, attention, ffn)

    def add_blocks(self, config: Any) -> None:
        layers = range(config.n_layers)
        self.transformer = Blocks([self.make_block(config, i) for i in layers])

    @property
    def blocks(self) -> nn.LayerList:
        return self.transformer.layer
