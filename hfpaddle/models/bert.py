"""BERT encoder.

Source: arXiv:1810.04805; checkpoints `google-bert/*`, `sentence-transformers/all-MiniLM-L6-v2`.
Shape letters: B batch, S sequence, H hidden, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import KeyMap, Tie
from hfpaddle.core.outputs import ModelOutput
from hfpaddle.layers import Linear
from hfpaddle.layers.post_norm import VocabularyHead
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder import OLD_SPELLINGS, EncoderModel, base_plan
from hfpaddle.modeling.encoder_heads import (
    EncoderForCausalLM,
    EncoderForMaskedLM,
    EncoderForNextSentencePrediction,
    EncoderHead,
)
from hfpaddle.modeling.losses import token_loss
from hfpaddle.modeling.registry import register_model


def vocabulary_ties(prefix: str) -> KeyMap:
    """Return the ties of ``cls.predictions`` to the word table under ``prefix``."""
    return KeyMap(
        (
            Tie("cls.predictions.decoder.weight", f"{prefix}.embeddings.word_embeddings.weight"),
            Tie("cls.predictions.decoder.bias", "cls.predictions.bias"),
        )
    )


class Heads(nn.Layer):
    """The checkpoint's ``cls``: what was trained on top of the encoder."""

    def __init__(self, predictions: nn.Layer | None, seq_relationship: nn.Layer | None) -> None:
        super().__init__()
        if predictions is not None:
            self.predictions = predictions
        if seq_relationship is not None:
            self.seq_relationship = seq_relationship


def make_predictions(config: Any) -> VocabularyHead:
    return VocabularyHead(
        config.hidden_size,
        config.hidden_size,
        config.vocab_size,
        config.hidden_act,
        config.layer_norm_eps,
    )


class BertVocabulary:
    """Mixin: the masked-language-model head that BERT and ERNIE share."""

    output_embedding_path = "cls.predictions.decoder"
    cls: Heads

    def build(self, config: Any) -> None:
        self.cls = Heads(make_predictions(config), None)

    def predict(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.cls.predictions(x_BSH)

    def _after_resize(self, rows: int) -> None:
        # Untied, the head scores with decoder.bias; the original then shares it, too.
        self.cls.predictions.bias = self.cls.predictions.decoder.bias


class BertNextSentence(EncoderForNextSentencePrediction):
    """Tells from the pooled first token whether the second sentence follows the first."""

    def build(self, config: Any) -> None:
        self.cls = Heads(None, Linear(config.hidden_size, 2))

    def score(self, outputs: Any) -> paddle.Tensor:
        return self.cls.seq_relationship(outputs.pooler_output)


@dataclass
class BertForPreTrainingOutput(ModelOutput):
    """``prediction_logits`` ``[B, S, V]`` and ``seq_relationship_logits`` ``[B, 2]``."""

    loss: Any = None
    prediction_logits: Any = None
    seq_relationship_logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class BertPreTraining(BertVocabulary, EncoderHead):
    """Both heads that BERT was trained with."""

    pooling = True
    output_class: type = BertForPreTrainingOutput

    def build(self, config: Any) -> None:
        self.cls = Heads(make_predictions(config), Linear(config.hidden_size, 2))

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        next_sentence_label=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return both scores; the loss is the sum of both, if both labels are given."""
        outputs = self.run(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        words_BSV = self.cls.predictions(outputs.last_hidden_state)
        relation_B2 = self.cls.seq_relationship(outputs.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = token_loss(words_BSV, labels) + token_loss(relation_B2, next_sentence_label)
        return self.wrap(
            self.output_class,
            outputs,
            return_dict,
            loss=loss,
            prediction_logits=words_BSV,
            seq_relationship_logits=relation_B2,
        )


class BertPreTrainedModel(PreTrainedModel):
    """What all BERT classes share; derive from it to write a head of your own."""

    config_class = transformers.BertConfig
    base_model_prefix = "bert"
    key_map = OLD_SPELLINGS + vocabulary_ties("bert")
    neutral_config_keys = frozenset({"classifier_dropout"})  # read by the heads that apply it
    plan = base_plan("bert")


@register_model("bert")
class BertModel(EncoderModel, BertPreTrainedModel):
    """Post-norm encoder with learned positions and token types."""

    head_classes = {
        "AutoModelForMaskedLM": (BertVocabulary, EncoderForMaskedLM),
        "AutoModelForCausalLM": (BertVocabulary, EncoderForCausalLM),
        "AutoModelForPreTraining": (BertPreTraining,),
        "AutoModelForNextSentencePrediction": (BertNextSentence,),
    }
