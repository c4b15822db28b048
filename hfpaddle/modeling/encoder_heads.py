"""Heads on top of an encoder backbone; BERT's shape by default, families override `build`.

Registration binds each head to a family: it adds ``model_class`` and the family's
``...PreTrainedModel`` (see `hfpaddle.modeling.encoder.EncoderModel.make_siblings`).

Shape letters: B batch, S sequence, H hidden, V vocabulary, C classes, A answers to choose from.
"""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.logging import warn_once
from hfpaddle.generation import GenerationMixin
from hfpaddle.layers import Dropout, Linear
from hfpaddle.layers.parameter import in_order
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.decoder import keep_positions
from hfpaddle.modeling.losses import (
    causal_lm_loss,
    question_answering_loss,
    sequence_classification_loss,
    token_loss,
)
from hfpaddle.modeling.outputs import (
    CausalLMOutputWithCrossAttentions,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


def classifier_dropout(config: Any) -> float:
    """Return ``config.classifier_dropout``, or the hidden states' dropout where it is None."""
    p = config.classifier_dropout
    return config.hidden_dropout_prob if p is None else p


class EncoderHead(PreTrainedModel):
    """A backbone under ``base_model_prefix`` and what `build` adds.

    Class attributes:
        model_class: the backbone.
        pooling: whether it keeps its pooler, where it has one.
        head_first: of a family, whether its new heads are drawn before the backbone.
    """

    model_class: Any = None
    pooling = False

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        options = {"add_pooling_layer": self.pooling} if self.model_class.has_pooler else {}
        setattr(self, self.base_model_prefix, self.model_class(config, **options))
        self.build(config)
        if getattr(self, "head_first", False):
            in_order(self, self.base_model_prefix)

    def build(self, config: Any) -> None:
        """Create the head's layers."""
        raise NotImplementedError("a head defines build")

    def run(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run the backbone; inputs in BERT's order."""
        names = (
            "input_ids",
            "attention_mask",
            "token_type_ids",
            "position_ids",
            "inputs_embeds",
        )
        given = {k: v for k, v in zip(names, inputs, strict=True) if v is not None}
        backbone = getattr(self, self.base_model_prefix)
        return backbone(**given, return_dict=True, **kwargs)

    def wrap(self, output_class: type, outputs: Any, return_dict: bool | None, **fields: Any):
        """Add hidden states and attentions; a tuple if the caller or the config asks for it."""
        output = output_class(
            **fields, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )
        wants = self.config.return_dict if return_dict is None else return_dict
        return output if wants else output.to_tuple()


class EncoderForMaskedLM(EncoderHead):
    """Scores every token of the vocabulary at each position."""

    def predict(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        """Return logits ``[B, S, V]``."""
        raise NotImplementedError("a family's masked-language-model head defines predict")

    def select(self, x_BSH: paddle.Tensor, labels: Any) -> tuple[paddle.Tensor, Any]:
        """Return the positions to score, and their labels: all of them."""
        return x_BSH, labels

    def loss(self, logits: paddle.Tensor, labels: paddle.Tensor, count: Any) -> paddle.Tensor:
        """Mean over this batch: the original of BERT's age leaves ``count`` (items of all) out."""
        return token_loss(logits, labels)

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
        """Return MaskedLMOutput with logits ``[B, S, V]``; label -100 does not count."""
        count = kwargs.pop("num_items_in_batch", None)
        outputs = self.run(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        x_BSH, labels = self.select(outputs.last_hidden_state, labels)
        logits_BSV = self.predict(x_BSH)
        loss = None if labels is None else self.loss(logits_BSV, labels, count)
        return self.wrap(MaskedLMOutput, outputs, return_dict, loss=loss, logits=logits_BSV)


class EncoderForCausalLM(EncoderForMaskedLM, GenerationMixin):
    """Scores the next token; causal with ``config.is_decoder``."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if not config.is_decoder:
            name = type(self).__name__
            warn_once(f"If you want to use `{name}` as a standalone, add `is_decoder=True.`")

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        past_key_values=None,
        use_cache=None,
        logits_to_keep=0,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return CausalLMOutputWithCrossAttentions with logits ``[B, S or kept, V]``.

        The loss is shifted inside. ``logits_to_keep`` as for decoders.
        """
        count = kwargs.pop("num_items_in_batch", None)
        outputs = self.run(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache if labels is None else False,
            **kwargs,
        )
        logits = self.predict(keep_positions(outputs.last_hidden_state, logits_to_keep))
        loss = None if labels is None else causal_lm_loss(logits, labels, count)
        return self.wrap(
            CausalLMOutputWithCrossAttentions,
            outputs,
            return_dict,
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            cross_attentions=outputs.cross_attentions,
        )


class EncoderForSequenceClassification(EncoderHead):
    """Scores the whole sequence from the pooled first token."""

    pooling = True

    def build(self, config: Any) -> None:
        self.dropout = Dropout(classifier_dropout(config))
        self.classifier = Linear(config.hidden_size, config.num_labels)

    def score(self, outputs: Any, attention_mask: Any) -> paddle.Tensor:
        """Return logits ``[B, C]``."""
        return self.classifier(self.dropout(outputs.pooler_output))

    def loss(self, logits_BC: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        return sequence_classification_loss(logits_BC, labels, self.config)

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
        """Return SequenceClassifierOutput with logits ``[B, C]``."""
        outputs = self.run(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        logits = self.score(outputs, attention_mask)
        loss = None if labels is None else self.loss(logits, labels)
        return self.wrap(SequenceClassifierOutput, outputs, return_dict, loss=loss, logits=logits)


class EncoderForTokenClassification(EncoderHead):
    """Scores every token."""

    def build(self, config: Any) -> None:
        self.dropout = Dropout(classifier_dropout(config))
        self.classifier = Linear(config.hidden_size, config.num_labels)

    def score(self, outputs: Any) -> paddle.Tensor:
        """Return logits ``[B, S, C]``."""
        return self.classifier(self.dropout(outputs.last_hidden_state))

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
        """Return TokenClassifierOutput with logits ``[B, S, C]``; label -100 does not count."""
        outputs = self.run(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        logits = self.score(outputs)
        loss = None if labels is None else token_loss(logits, labels)
        return self.wrap(TokenClassifierOutput, outputs, return_dict, loss=loss, logits=logits)


class EncoderForQuestionAnswering(EncoderHead):
    """Scores every token as the start and as the end of the answer."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if config.num_labels != 2:
            raise ValueError(
                f"config.num_labels should be 2 (start and end), but it is {config.num_labels}."
            )

    def build(self, config: Any) -> None:
        self.qa_outputs = Linear(config.hidden_size, config.num_labels)

    def score(self, outputs: Any) -> paddle.Tensor:
        """Return logits ``[B, S, 2]``."""
        return self.qa_outputs(outputs.last_hidden_state)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        start_positions=None,
        end_positions=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return QuestionAnsweringModelOutput with start and end logits ``[B, S]``."""
        outputs = self.run(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        logits_BS2 = self.score(outputs)
        start_BS, end_BS = logits_BS2[..., 0], logits_BS2[..., 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start_BS, end_BS, start_positions, end_positions)
        return self.wrap(
            QuestionAnsweringModelOutput,
            outputs,
            return_dict,
            loss=loss,
            start_logits=start_BS,
            end_logits=end_BS,
        )


class EncoderForMultipleChoice(EncoderHead):
    """Scores each of several texts; the inputs have an axis of choices after the batch's."""

    pooling = True

    def build(self, config: Any) -> None:
        self.dropout = Dropout(classifier_dropout(config))
        self.classifier = Linear(config.hidden_size, 1)

    def score(self, outputs: Any, attention_mask: Any) -> paddle.Tensor:
        """Return logits ``[B * A, 1]``; the mask is ``[B * A, S]``."""
        return self.classifier(self.dropout(outputs.pooler_output))

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
        """Return MultipleChoiceModelOutput with logits ``[B, A]``; inputs are ``[B, A, S]``."""
        given = input_ids if input_ids is not None else inputs_embeds
        if given is None:
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        choices = given.shape[1]
        names = getattr(self, self.base_model_prefix).embedding_inputs
        extra = {name: flat(kwargs.pop(name, None)) for name in names}
        mask = flat(attention_mask)
        outputs = self.run(
            flat(input_ids),
            mask,
            flat(token_type_ids),
            flat(position_ids),
            flat(inputs_embeds),
            **extra,
            **kwargs,
        )
        logits_BA = self.score(outputs, mask).reshape([-1, choices])
        loss = None if labels is None else token_loss(logits_BA, labels)
        return self.wrap(
            MultipleChoiceModelOutput, outputs, return_dict, loss=loss, logits=logits_BA
        )


def flat(x: paddle.Tensor | None) -> paddle.Tensor | None:
    """Join the batch's axis and that of the choices."""
    return None if x is None else x.flatten(0, 1)


class EncoderForNextSentencePrediction(EncoderHead):
    """Tells from the pooled first token whether the second sentence follows the first."""

    pooling = True

    def score(self, outputs: Any) -> paddle.Tensor:
        """Return logits ``[B, 2]``."""
        raise NotImplementedError("a family's next-sentence head defines score")

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
        """Return NextSentencePredictorOutput with logits ``[B, 2]``; label 1 is a random text."""
        outputs = self.run(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs
        )
        logits_B2 = self.score(outputs)
        loss = None if labels is None else token_loss(logits_B2, labels)
        return self.wrap(
            NextSentencePredictorOutput, outputs, return_dict, loss=loss, logits=logits_B2
        )


# Heads whose general form needs nothing of the family. Others a family names in `head_classes`.
HEADS: dict[str, tuple[type, ...]] = {
    "AutoModelForSequenceClassification": (EncoderForSequenceClassification,),
    "AutoModelForTokenClassification": (EncoderForTokenClassification,),
    "AutoModelForQuestionAnswering": (EncoderForQuestionAnswering,),
    "AutoModelForMultipleChoice": (EncoderForMultipleChoice,),
}
