"""ModernBERT encoder: pre-norm blocks, rotary positions, local and global attention by turns.

Source: arXiv:2412.13663; checkpoints `answerdotai/ModernBERT-*`.
Shape letters: B batch, S sequence, H hidden, V vocabulary, C classes.
"""

from __future__ import annotations

import math
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.layers import (
    Dropout,
    FusedAttention,
    LayerNorm,
    Linear,
    RotaryEmbedding,
)
from hfpaddle.layers.parameter import fill, initialized, redrawn, truncated_normal
from hfpaddle.layers.pre_norm import GatedDropoutMLP, PredictionHead, PreNormBlock, WordEmbeddings
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder import EncoderModel
from hfpaddle.modeling.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from hfpaddle.modeling.losses import token_loss
from hfpaddle.modeling.outputs import BaseModelOutput
from hfpaddle.modeling.registry import register_model


def make_norm(config: Any) -> LayerNorm:
    return LayerNorm(config.hidden_size, config.norm_eps, bias=config.norm_bias)


def make_prediction_head(config: Any) -> PredictionHead:
    head = PredictionHead(
        config.hidden_size, config.classifier_activation, config.classifier_bias, make_norm(config)
    )
    return redrawn(head, dense=narrow_std(config))


def narrow_std(config: Any) -> float:
    """Return the standard deviation of new weights that end in the residual stream."""
    return config.initializer_range / math.sqrt(2.0 * config.num_hidden_layers)


class ModernBertMaskedLM(EncoderForMaskedLM):
    """Scores every token of the vocabulary; with ``sparse_prediction`` only where labels are."""

    output_embedding_path = "decoder"

    def build(self, config: Any) -> None:
        self.head = make_prediction_head(config)
        self.decoder = Linear(config.hidden_size, config.vocab_size, config.decoder_bias)
        redrawn(self, decoder=narrow_std(config))
        self.sparse, self.ignore = config.sparse_prediction, config.sparse_pred_ignore_index

    def select(self, x_BSH: paddle.Tensor, labels: Any) -> tuple[paddle.Tensor, Any]:
        if not self.sparse or labels is None:
            return x_BSH, labels
        labels = labels.flatten()
        rows = paddle.nonzero(labels != self.ignore).flatten()
        return x_BSH.flatten(0, 1).index_select(rows), labels.index_select(rows)

    def predict(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.decoder(self.head(x_BSH))

    def loss(self, logits: paddle.Tensor, labels: paddle.Tensor, count: Any) -> paddle.Tensor:
        return token_loss(logits, labels, count)


class Classifier:
    """Mixin: prediction head, dropout, projection."""

    rows: int | None = None

    def build(self, config: Any) -> None:
        self.head = make_prediction_head(config)
        self.drop = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.hidden_size, self.rows or config.num_labels)
        redrawn(self, classifier=config.hidden_size**-0.5)

    def project(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.drop(self.head(x)))


class PooledClassifier(Classifier):
    """Mixin: classifies the first token, or the mean of the real ones."""

    def build(self, config: Any) -> None:
        super().build(config)
        self.mean = config.classifier_pooling == "mean"

    def first_token(self, x_BSH: paddle.Tensor, attention_mask: Any) -> paddle.Tensor:
        return x_BSH[:, 0]

    def score(self, outputs: Any, attention_mask: Any) -> paddle.Tensor:
        x_BSH = outputs.last_hidden_state
        if not self.mean:
            return self.project(self.first_token(x_BSH, attention_mask))
        if attention_mask is None:
            return self.project(x_BSH.mean(axis=1))
        real_BS1 = attention_mask.astype(x_BSH.dtype).unsqueeze(-1)
        return self.project((x_BSH * real_BS1).sum(axis=1) / real_BS1.sum(axis=1))


class ModernBertClassifier(PooledClassifier, EncoderForSequenceClassification):
    """Scores the whole sequence."""


class ModernBertChoice(PooledClassifier, EncoderForMultipleChoice):
    """Scores each of several texts; the inputs have an axis of choices after the batch's."""

    rows = 1

    def first_token(self, x_BSH: paddle.Tensor, attention_mask: Any) -> paddle.Tensor:
        if attention_mask is None:
            return x_BSH[:, 0]
        # Unlike the sequence classifier, this head looks for the first token behind left padding.
        first_B = attention_mask.astype("int64").argmax(axis=-1)
        return x_BSH[paddle.arange(x_BSH.shape[0]).to(x_BSH.place), first_B]


class ModernBertTagger(Classifier, EncoderForTokenClassification):
    """Scores every token."""

    def score(self, outputs: Any) -> paddle.Tensor:
        return self.project(outputs.last_hidden_state)


class ModernBertAnswer(Classifier, EncoderForQuestionAnswering):
    """Scores every token as the start and as the end of the answer."""

    inputs = ("input_ids", "attention_mask", "position_ids", ..., "inputs_embeds")

    def score(self, outputs: Any) -> paddle.Tensor:
        return self.project(outputs.last_hidden_state)


class ModernBertPreTrainedModel(PreTrainedModel):
    """What all ModernBERT classes share; derive from it to write a head of your own."""

    config_class = transformers.ModernBertConfig
    base_model_prefix = "model"
    embedding_path = "embeddings.tok_embeddings"
    key_map = KeyMap(
        (
            Drop("*.rotary_emb.*inv_freq"),
            Tie("decoder.weight", "model.embeddings.tok_embeddings.weight"),
        )
    )
    neutral_config_keys = frozenset(
        {
            "deterministic_flash_attn",  # of a kernel that is not used here
            "initializer_cutoff_factor",  # read when weights are drawn
            # Read by the heads that apply them.
            *("classifier_pooling", "classifier_dropout", "classifier_bias"),
            *("classifier_activation", "decoder_bias"),
            *("sparse_prediction", "sparse_pred_ignore_index"),
        }
    )
    plan = {
        "model.layers.*.attn.Wqkv": "colwise",
        "model.layers.*.attn.Wo": "rowwise",
        "model.layers.*.mlp.Wi": "colwise",
        "model.layers.*.mlp.Wo": "rowwise",
    }

    def _init_weights(self, layer: nn.Layer) -> None:
        """Cut-off normal weights where a standard deviation is set: in all layers of this file."""
        cutoff = self.config.initializer_cutoff_factor
        std = getattr(layer, "init_std", None)
        if std is not None and not initialized(layer.weight):
            fill(layer.weight, truncated_normal(std, 3 if cutoff is None else cutoff))
        super()._init_weights(layer)


@register_model("modernbert")
class ModernBertModel(EncoderModel, ModernBertPreTrainedModel):
    """Pre-norm encoder whose layers alternate between full and windowed attention."""

    embedding_path = "embeddings.tok_embeddings"
    output_class = BaseModelOutput
    has_pooler = False
    causal_config = False
    inputs = ("input_ids", "attention_mask", "position_ids", "inputs_embeds")
    head_classes = {
        "AutoModelForMaskedLM": (ModernBertMaskedLM,),
        "AutoModelForSequenceClassification": (ModernBertClassifier,),
        "AutoModelForTokenClassification": (ModernBertTagger,),
        "AutoModelForQuestionAnswering": (ModernBertAnswer,),
        "AutoModelForMultipleChoice": (ModernBertChoice,),
    }

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.final_norm = make_norm(config)
        self.half_window = config.sliding_window
        head_dim = config.hidden_size // config.num_attention_heads
        self.rotary = {
            kind: RotaryEmbedding(
                head_dim, config.rope_parameters[kind], config.max_position_embeddings
            )
            for kind in dict.fromkeys(self.layer_types)
        }

    def make_embeddings(self, config: Any) -> nn.Layer:
        embeddings = WordEmbeddings(
            config.vocab_size,
            config.hidden_size,
            config.pad_token_id,
            make_norm(config),
            config.embedding_dropout,
        )
        return redrawn(embeddings, tok_embeddings=config.initializer_range)

    def make_block(self, config: Any, layer: int) -> nn.Layer:
        attn = FusedAttention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_attention_heads,
            config.hidden_size // config.num_attention_heads,
            layer,
            bias=config.attention_bias,
            dropout=config.attention_dropout,
            layer_type=config.layer_types[layer],
            names=("Wqkv", "Wo"),
        )
        mlp = GatedDropoutMLP(
            config.hidden_size,
            config.intermediate_size,
            config.hidden_activation,
            config.mlp_bias,
            config.mlp_dropout,
        )
        redrawn(attn, Wqkv=config.initializer_range, Wo=narrow_std(config))
        redrawn(mlp, Wi=config.initializer_range, Wo=narrow_std(config))
        attn_norm = make_norm(config) if layer else nn.Identity()
        return PreNormBlock(attn, mlp, attn_norm, make_norm(config), config.attention_dropout)

    def make_layer_types(self, config: Any) -> list[str]:
        return list(config.layer_types)[: config.num_hidden_layers]

    def window(self, kind: str) -> int | None:
        return self.half_window if kind == "sliding_attention" else None

    def add_blocks(self, config: Any) -> None:
        layers = range(config.num_hidden_layers)
        self.layers = nn.LayerList([self.make_block(config, i) for i in layers])

    @property
    def blocks(self) -> nn.LayerList:
        return self.layers

    def embed(
        self, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, past
    ) -> paddle.Tensor:
        return self.embeddings(input_ids, inputs_embeds)

    def make_state(
        self, x_BSH: paddle.Tensor, attention_mask: Any, position_ids: Any, cache: Any, past: int
    ) -> ForwardState:
        if position_ids is None:
            end = past + x_BSH.shape[1]
            position_ids = paddle.arange(past, end).unsqueeze(0).to(x_BSH.place)
        state = super().make_state(x_BSH, attention_mask, position_ids, cache, past)
        state.rope = {kind: rotary(position_ids) for kind, rotary in self.rotary.items()}
        return state

    def finish(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.final_norm(x_BSH)
