"""DeBERTa v2 and v3 encoders: attention scores content and relative position apart.

Source: arXiv:2006.03654, arXiv:2111.09543; checkpoints `microsoft/deberta-v2-*`, `-v3-*`.
Shape letters: B batch, S sequence, H hidden, R relative positions, V vocabulary, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.core.errors import UnsupportedArgumentError, UnsupportedConfigError
from hfpaddle.layers import Dropout, Embedding, LayerNorm, Linear
from hfpaddle.layers.disentangled import (
    ContextPooler,
    Convolution,
    DisentangledAttention,
    DisentangledBlock,
    MaskedEmbeddings,
    MatchedHead,
    relative_positions,
)
from hfpaddle.layers.post_norm import VocabularyHead
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder import OLD_SPELLINGS, Blocks, EncoderModel, base_plan
from hfpaddle.modeling.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from hfpaddle.modeling.losses import sequence_classification_loss, token_loss
from hfpaddle.modeling.outputs import BaseModelOutput
from hfpaddle.modeling.registry import register_model
from hfpaddle.modeling.resizing import resize_rows
from hfpaddle.models.bert import Heads


class DebertaMaskedLM(EncoderForMaskedLM):
    """Scores every token of the vocabulary, with BERT's head or, if not ``legacy``, its own."""

    def build(self, config: Any) -> None:
        self.legacy = config.legacy
        H, V, act = config.hidden_size, config.vocab_size, config.hidden_act
        if self.legacy:
            width = getattr(config, "embedding_size", H)
            self.cls = Heads(VocabularyHead(H, width, V, act, config.layer_norm_eps), None)
            self.output_embedding_path = "cls.predictions.decoder"
        else:
            self.lm_predictions = nn.Layer()
            self.lm_predictions.lm_head = MatchedHead(H, V, act, config.layer_norm_eps)

    def predict(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        if self.legacy:
            return self.cls.predictions(x_BSH)
        words = self.deberta.embeddings.word_embeddings.weight
        return self.lm_predictions.lm_head(x_BSH, words)

    def _after_resize(self, rows: int) -> None:
        if self.legacy:
            self.cls.predictions.bias = self.cls.predictions.decoder.bias
        else:
            resize_rows(self, self.lm_predictions.lm_head, "bias", rows)


class Pooled:
    """Mixin: pooler, dropout, projection."""

    rows: int | None = None

    def build(self, config: Any) -> None:
        p = getattr(config, "cls_dropout", None)
        self.pooler = ContextPooler(
            config.pooler_hidden_size, config.pooler_hidden_act, config.pooler_dropout
        )
        self.classifier = Linear(config.hidden_size, self.rows or config.num_labels)
        self.dropout = Dropout(config.hidden_dropout_prob if p is None else p)

    def score(self, outputs: Any, attention_mask: Any) -> paddle.Tensor:
        return self.classifier(self.dropout(self.pooler(outputs.last_hidden_state)))


class DebertaClassifier(Pooled, EncoderForSequenceClassification):
    """Scores the whole sequence from its first token."""

    def loss(self, logits_BC: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """As for BERT if ``problem_type`` is set; else told by the labels, negative ones left out.

        Floating labels ``[B, C]`` are then taken as probabilities.
        """
        if self.config.problem_type is not None:
            return sequence_classification_loss(logits_BC, labels, self.config)
        if self.num_labels == 1:
            return F.mse_loss(logits_BC.flatten(), labels.flatten().astype(logits_BC.dtype))
        if labels.ndim > 1 and labels.shape[-1] != 1:
            likelihoods = F.log_softmax(logits_BC, axis=-1) * labels.astype(logits_BC.dtype)
            return -likelihoods.sum(axis=-1).mean()
        labels = labels.flatten().astype("int64")
        if not bool((labels >= 0).any()):
            return paddle.zeros([], dtype=logits_BC.dtype).to(logits_BC.place)
        return token_loss(
            logits_BC, paddle.where(labels < 0, paddle.full_like(labels, -100), labels)
        )


class DebertaChoice(Pooled, EncoderForMultipleChoice):
    """Scores each of several texts; the inputs have an axis of choices after the batch's."""

    rows = 1


class DebertaTagger(EncoderForTokenClassification):
    """Scores every token."""

    def build(self, config: Any) -> None:
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = Linear(config.hidden_size, config.num_labels)


class DebertaV2PreTrainedModel(PreTrainedModel):
    """What all DeBERTa classes share; derive from it to write a head of your own."""

    config_class = transformers.DebertaV2Config
    base_model_prefix = "deberta"
    key_map = OLD_SPELLINGS + KeyMap(
        (
            Drop("mask_predictions.*"),
            Tie("cls.predictions.decoder.weight", "deberta.embeddings.word_embeddings.weight"),
            Tie("cls.predictions.decoder.bias", "cls.predictions.bias"),
        )
    )
    # Read by the heads that apply them.
    neutral_config_keys = frozenset({"legacy", "pooler_dropout", "pooler_hidden_act"})
    plan = base_plan("deberta", "{query,key,value,pos_key,pos_query}_proj")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if not config.position_biased_input:
            # Checkpoints still hold the table; the original ignores it without a word.
            self.key_map = type(self).key_map + KeyMap((Drop("*position_embeddings*"),))


class DebertaEncoder(Blocks):
    """Blocks, relative table and convolution, as the checkpoint names them."""

    def __init__(
        self,
        blocks: list[nn.Layer],
        relative: nn.Layer | None,
        norm: LayerNorm | None,
        conv: Convolution | None,
    ) -> None:
        super().__init__(blocks)
        self.rel_embeddings, self.LayerNorm, self.conv = relative, norm, conv

    def table(self) -> paddle.Tensor | None:
        """Return the embeddings of relative positions ``[R, H]``."""
        if self.rel_embeddings is None:
            return None
        rows_R = paddle.arange(self.rel_embeddings.num_embeddings)
        # Looked up, not read: that gives the dtype to compute in.
        x_RH = self.rel_embeddings(rows_R.to(self.rel_embeddings.weight.place))
        return x_RH if self.LayerNorm is None else self.LayerNorm(x_RH)


@register_model("deberta-v2")
class DebertaV2Model(EncoderModel, DebertaV2PreTrainedModel):
    """BERT's blocks with disentangled attention."""

    output_class = BaseModelOutput
    has_pooler = False
    causal_config = False
    head_classes = {
        "AutoModelForMaskedLM": (DebertaMaskedLM,),
        "AutoModelForSequenceClassification": (DebertaClassifier,),
        "AutoModelForTokenClassification": (DebertaTagger,),
        "AutoModelForMultipleChoice": (DebertaChoice,),
    }

    def make_embeddings(self, config: Any) -> nn.Layer:
        return MaskedEmbeddings(
            config.vocab_size,
            getattr(config, "embedding_size", config.hidden_size),
            config.max_position_embeddings if config.position_biased_input else None,
            config.type_vocab_size or None,
            config.pad_token_id,
            hidden_size=config.hidden_size,
            eps=config.layer_norm_eps,
            dropout=config.hidden_dropout_prob,
        )

    def make_block(self, config: Any, layer: int) -> nn.Layer:
        H, N = config.hidden_size, config.num_attention_heads
        size = getattr(config, "attention_head_size", H // N)
        if size * N != H:
            raise UnsupportedConfigError(
                f"{N} heads of {size} elements (num_attention_heads, attention_head_size) do not "
                f"make up hidden_size={H}."
            )
        given = config.pos_att_type or ()
        attention = DisentangledAttention(
            H,
            N,
            tuple(kind for kind in ("c2p", "p2c") if kind in given),
            self.span,
            getattr(config, "share_att_key", False),
            config.attention_probs_dropout_prob,
            config.hidden_dropout_prob,
        )
        return DisentangledBlock(
            attention,
            H,
            config.intermediate_size,
            config.hidden_act,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )

    def add_blocks(self, config: Any) -> None:
        self.buckets = getattr(config, "position_buckets", -1)
        positions, longest = config.max_position_embeddings, config.max_relative_positions
        self.longest = positions if longest < 1 else longest
        self.span = None
        if config.relative_attention:
            self.span = self.buckets if self.buckets > 0 else self.longest
        H, eps = config.hidden_size, config.layer_norm_eps
        parts = getattr(config, "norm_rel_ebd", "none").lower().split("|")
        normed = "layer_norm" in [part.strip() for part in parts]
        kernel = getattr(config, "conv_kernel_size", 0)
        self.encoder = DebertaEncoder(
            [self.make_block(config, i) for i in range(len(self.layer_types))],
            Embedding(2 * self.span, H) if self.span else None,
            LayerNorm(H, eps) if normed else None,
            Convolution(
                H,
                kernel,
                getattr(config, "conv_groups", 1),
                getattr(config, "conv_act", "tanh"),
                eps,
                config.hidden_dropout_prob,
            )
            if kernel > 0
            else None,
        )

    def embed(
        self, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, past
    ) -> paddle.Tensor:
        if attention_mask is not None and attention_mask.ndim != 2:
            raise UnsupportedArgumentError(
                f"{type(self).__name__}: attention_mask has shape {list(attention_mask.shape)}; "
                "give [batch, tokens]."
            )
        return self.embeddings(
            input_ids, token_type_ids, position_ids, inputs_embeds, past, mask=attention_mask
        )

    def make_state(
        self, x_BSH: paddle.Tensor, attention_mask: Any, position_ids: Any, cache: Any, past: int
    ) -> ForwardState:
        if cache is not None:
            raise UnsupportedArgumentError(
                f"{type(self).__name__}.forward() does not support past_key_values."
            )
        state = ForwardState(masks={}, position_ids=position_ids)
        state.extra["real"] = state.extra["seen"] = None
        if attention_mask is not None and not bool((attention_mask == 1).all()):
            real_BS = attention_mask != 0
            state.extra["real"] = attention_mask.unsqueeze(-1)
            # Padding sees nothing either.
            state.extra["seen"] = paddle.logical_and(
                real_BS[:, None, None, :], real_BS[:, None, :, None]
            )
        if self.span is not None:
            relative = relative_positions(x_BSH.shape[1], self.buckets, self.longest)
            for name, signed in (("index", relative), ("mirrored", -relative)):
                rows = np.clip(signed + self.span, 0, 2 * self.span - 1)[None, None]
                state.extra[name] = paddle.to_tensor(rows, place=x_BSH.place)
        return state

    def run_blocks(
        self, x_BSH: paddle.Tensor, state: ForwardState, hidden: list | None
    ) -> paddle.Tensor:
        first_BSH, relative_RH = x_BSH, self.encoder.table()
        for i, block in enumerate(self.blocks):
            if hidden is not None:
                hidden.append(x_BSH)
            x_BSH = self.run_block(block, x_BSH, state, relative_RH)
            if i == 0 and self.encoder.conv is not None:
                x_BSH = self.encoder.conv(first_BSH, x_BSH, state.extra["real"])
        if hidden is not None:
            hidden.append(x_BSH)
        return x_BSH
