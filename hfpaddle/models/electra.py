"""ELECTRA encoder: BERT with a narrower embedding, trained to tell replaced tokens.

Source: arXiv:2003.10555; checkpoints `google/electra-*-{discriminator,generator}`.
Shape letters: B batch, S sequence, H hidden, E embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle.converters.keymap import KeyMap, Tie
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.core.outputs import ModelOutput
from hfpaddle.layers import Dropout, LayerNorm, Linear, activation
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.post_norm import EncoderEmbeddings
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder import OLD_SPELLINGS, EncoderModel, base_plan
from hfpaddle.modeling.encoder_heads import (
    EncoderForCausalLM,
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderHead,
)
from hfpaddle.modeling.outputs import BaseModelOutputWithPastAndCrossAttentions
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.roberta import RobertaClassifier


class ElectraClassifier(RobertaClassifier):
    """Scores the whole sequence from its first token."""

    act = "gelu"


class DiscriminatorPredictions(nn.Layer):
    """One score a token: was it replaced?"""

    def __init__(self, hidden_size: int, act: str) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)
        self.activation = activation(act)
        self.dense_prediction = Linear(hidden_size, 1)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.dense_prediction(self.activation(self.dense(x_BSH))).squeeze(-1)


class GeneratorPredictions(nn.Layer):
    """``LayerNorm(gelu(dense(x)))``, from H to E."""

    def __init__(self, hidden_size: int, embedding_size: int, eps: float) -> None:
        super().__init__()
        self.activation = activation("gelu")
        self.LayerNorm = LayerNorm(embedding_size, eps)
        self.dense = Linear(hidden_size, embedding_size)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.LayerNorm(self.activation(self.dense(x_BSH)))


class ElectraVocabulary:
    """Mixin: the generator's head."""

    output_embedding_path = "generator_lm_head"

    def build(self, config: Any) -> None:
        self.generator_predictions = GeneratorPredictions(
            config.hidden_size, config.embedding_size, config.layer_norm_eps
        )
        self.generator_lm_head = Linear(config.embedding_size, config.vocab_size)

    def predict(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.generator_lm_head(self.generator_predictions(x_BSH))


class SequenceSummary(nn.Layer):
    """One vector a sequence: a token or the mean, then optionally projected and activated.

    Args:
        kind: ``"first"``, ``"last"``, ``"mean"`` or ``"cls_index"`` (here: the last token).
        out_size: of the projection, None without one.
        act: name of the activation, None without one.
        first_dropout, last_dropout: before and after these.
    """

    def __init__(
        self,
        kind: str,
        hidden_size: int,
        out_size: int | None,
        act: str | None,
        first_dropout: float,
        last_dropout: float,
    ) -> None:
        super().__init__()
        if kind not in ("first", "last", "mean", "cls_index"):
            raise UnsupportedConfigError(
                f"summary_type={kind!r} is not implemented "
                "(works: 'first', 'last', 'mean', 'cls_index')."
            )
        self.kind = kind
        self.summary = nn.Identity() if out_size is None else Linear(hidden_size, out_size)
        self.activation = activation(act) if act else None
        self.first_dropout, self.last_dropout = Dropout(first_dropout), Dropout(last_dropout)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        if self.kind == "mean":
            x_BH = x_BSH.mean(axis=1)
        else:
            x_BH = x_BSH[:, 0 if self.kind == "first" else -1]
        x_BH = self.summary(self.first_dropout(x_BH))
        return self.last_dropout(x_BH if self.activation is None else self.activation(x_BH))


class ElectraChoice(EncoderForMultipleChoice):
    """Scores each of several texts; the inputs have an axis of choices after the batch's."""

    def build(self, config: Any) -> None:
        to_labels = getattr(config, "summary_proj_to_labels", False) and config.num_labels > 0
        size = config.num_labels if to_labels else config.hidden_size
        self.sequence_summary = SequenceSummary(
            config.summary_type,
            config.hidden_size,
            size if config.summary_use_proj else None,
            config.summary_activation,
            getattr(config, "summary_first_dropout", 0.0),
            config.summary_last_dropout,
        )
        self.classifier = Linear(config.hidden_size, 1)

    def score(self, outputs: Any, attention_mask: Any) -> paddle.Tensor:
        return self.classifier(self.sequence_summary(outputs.last_hidden_state))


@dataclass
class ElectraForPreTrainingOutput(ModelOutput):
    """``logits`` ``[B, S]``: positive where a token seems to be replaced."""

    loss: Any = None
    logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class ElectraDiscriminator(EncoderHead):
    """Tells for each token whether it was replaced."""

    def build(self, config: Any) -> None:
        self.discriminator_predictions = DiscriminatorPredictions(
            config.hidden_size, config.hidden_act
        )

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return ElectraForPreTrainingOutput; the loss leaves out padding. Label 1: replaced."""
        outputs = self.run(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        logits_BS = self.discriminator_predictions(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            losses_BS = F.binary_cross_entropy_with_logits(
                logits_BS, labels.astype(logits_BS.dtype), reduction="none"
            )
            if attention_mask is None:
                loss = losses_BS.mean()
            else:
                real_BS = (attention_mask == 1).astype(losses_BS.dtype)
                loss = (losses_BS * real_BS).sum() / real_BS.sum()
        return self.wrap(
            ElectraForPreTrainingOutput, outputs, return_dict, loss=loss, logits=logits_BS
        )


class ElectraPreTrainedModel(PreTrainedModel):
    """What all ELECTRA classes share; derive from it to write a head of your own."""

    config_class = transformers.ElectraConfig
    base_model_prefix = "electra"
    key_map = OLD_SPELLINGS + KeyMap(
        (Tie("generator_lm_head.weight", "electra.embeddings.word_embeddings.weight"),)
    )
    # Read by the heads that apply them.
    neutral_config_keys = frozenset(
        {
            "classifier_dropout",
            "summary_type",
            "summary_use_proj",
            "summary_activation",
            "summary_last_dropout",
        }
    )
    plan = base_plan("electra")


@register_model("electra")
class ElectraModel(EncoderModel, ElectraPreTrainedModel):
    """BERT's encoder behind a projection of the embeddings, if these are of another width."""

    output_class = BaseModelOutputWithPastAndCrossAttentions
    has_pooler = False
    head_classes = {
        "AutoModelForMaskedLM": (ElectraVocabulary, EncoderForMaskedLM),
        "AutoModelForCausalLM": (ElectraVocabulary, EncoderForCausalLM),
        "AutoModelForPreTraining": (ElectraDiscriminator,),
        "AutoModelForSequenceClassification": (ElectraClassifier,),
        "AutoModelForMultipleChoice": (ElectraChoice,),
    }

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        narrow = config.embedding_size != config.hidden_size
        self.embeddings_project = (
            Linear(config.embedding_size, config.hidden_size) if narrow else None
        )
        in_order(self, "encoder")

    def make_embeddings(self, config: Any) -> nn.Layer:
        return EncoderEmbeddings(
            config.vocab_size,
            config.embedding_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.pad_token_id,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )

    def embed(self, *args: Any, **kwargs: Any) -> paddle.Tensor:
        x_BSE = super().embed(*args, **kwargs)
        return x_BSE if self.embeddings_project is None else self.embeddings_project(x_BSE)
