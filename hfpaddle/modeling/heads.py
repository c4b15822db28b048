"""Classification and question-answering heads on top of any backbone.

Shape letters: B batch, S sequence, H hidden, C classes.
"""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.logging import warn_once
from hfpaddle.layers import Dropout, Linear
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.losses import (
    question_answering_loss,
    sequence_classification_loss,
    token_loss,
)
from hfpaddle.modeling.outputs import (
    QuestionAnsweringModelOutput,
    SequenceClassifierOutputWithPast,
    TokenClassifierOutput,
)
from hfpaddle.modeling.packing import refuse_packing
from hfpaddle.modeling.registry import class_name


class DecoderHead(PreTrainedModel):
    """A decoder backbone under ``base_model_prefix`` and one projection of its last state.

    ``one_a_row`` says what it does once for each row, if it does: packed samples are refused then.
    """

    model_class: Any = None
    one_a_row: str | None = None

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        setattr(self, self.base_model_prefix, self.model_class(config))

    def run(self, input_ids: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
        kwargs.pop("return_dict", None)
        if self.one_a_row:
            positions = kwargs.get("position_ids")
            refuse_packing(
                type(self).__name__, attention_mask, positions, kwargs, why=self.one_a_row
            )
        backbone = getattr(self, self.base_model_prefix)
        return backbone(input_ids, attention_mask=attention_mask, **kwargs)


class DecoderForSequenceClassification(DecoderHead):
    """Scores the last real token of each row."""

    one_a_row = "scores one token a row"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.score = Linear(config.hidden_size, config.num_labels, bias=False)

    def forward(
        self, input_ids=None, attention_mask=None, *, labels=None, return_dict=None, **kwargs
    ) -> Any:
        """Return SequenceClassifierOutputWithPast with logits ``[B, C]``.

        The token scored is the rightmost one that is not ``config.pad_token_id``.
        Raises: ValueError for more than one row when the config has no ``pad_token_id``;
            UnsupportedArgumentError for packed samples, which would be scored as one.
        """
        outputs = self.run(input_ids, attention_mask=attention_mask, **kwargs)
        logits_BSC = self.score(outputs.last_hidden_state)
        B, S, _ = logits_BSC.shape
        pad = self.config.pad_token_id
        if pad is None and B != 1:
            raise ValueError("Cannot handle batch sizes > 1 if no padding token is defined.")
        if pad is None or input_ids is None:
            if pad is not None:
                warn_once(
                    f"{type(self).__name__} cannot see padding in inputs_embeds: it scores the "
                    "last position."
                )
            logits_BC = logits_BSC[:, -1]
        else:
            positions_S = paddle.arange(S).to(input_ids.place)
            last_B = (positions_S * (input_ids != pad).astype("int64")).argmax(axis=-1)
            rows_B = paddle.arange(B).to(input_ids.place)
            logits_BC = logits_BSC[rows_B, last_B]
        loss = None
        if labels is not None:
            loss = sequence_classification_loss(logits_BC, labels, self.config)
        output = SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits_BC,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output.to_tuple() if return_dict is False else output


class DecoderForTokenClassification(DecoderHead):
    """Scores every token. ``score_name`` is the projection's name in the checkpoint."""

    score_name = "score"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        p = getattr(config, "classifier_dropout", None)
        p = getattr(config, "hidden_dropout", None) if p is None else p
        self.dropout = Dropout(0.1 if p is None else p)
        bias = getattr(config, "token_classification_bias", True)
        setattr(self, self.score_name, Linear(config.hidden_size, config.num_labels, bias))

    def forward(
        self, input_ids=None, attention_mask=None, *, labels=None, return_dict=None, **kwargs
    ) -> Any:
        """Return TokenClassifierOutput with logits ``[B, S, C]``; label -100 does not count."""
        outputs = self.run(input_ids, attention_mask=attention_mask, **kwargs)
        logits_BSC = getattr(self, self.score_name)(self.dropout(outputs.last_hidden_state))
        output = TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits_BSC, labels),
            logits=logits_BSC,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output.to_tuple() if return_dict is False else output


class ClassifierForTokenClassification(DecoderForTokenClassification):
    """Scores every token, by a projection called ``classifier`` (GPT-2, BLOOM, Falcon)."""

    score_name = "classifier"


class DecoderForQuestionAnswering(DecoderHead):
    """Scores every token as the start and as the end of the answer."""

    one_a_row = "finds one answer a row"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.qa_outputs = Linear(config.hidden_size, 2)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        *,
        start_positions=None,
        end_positions=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return QuestionAnsweringModelOutput with start and end logits ``[B, S]``.

        Raises: UnsupportedArgumentError for packed samples, which would have one answer.
        """
        outputs = self.run(input_ids, attention_mask=attention_mask, **kwargs)
        logits_BS2 = self.qa_outputs(outputs.last_hidden_state)
        start_BS, end_BS = logits_BS2[..., 0], logits_BS2[..., 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start_BS, end_BS, start_positions, end_positions)
        output = QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=start_BS,
            end_logits=end_BS,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output.to_tuple() if return_dict is False else output


HEADS: dict[str, type] = {
    "AutoModelForSequenceClassification": DecoderForSequenceClassification,
    "AutoModelForTokenClassification": DecoderForTokenClassification,
    "AutoModelForQuestionAnswering": DecoderForQuestionAnswering,
}


def decoder_heads(main: Any, model_type: str) -> list[type]:
    """Create the head classes that ``model_type`` has upstream, unless the family wrote its own.

    ``main.head_classes`` maps an auto class to another base, or to None for one defined by hand;
    ``main.qa_prefix`` names the backbone inside the question-answering head where it differs.
    """
    made = []
    for auto, base in {**HEADS, **getattr(main, "head_classes", {})}.items():
        name = class_name(auto, model_type)
        if name is None or base is None:
            continue
        prefix = main.base_model_prefix
        if auto == "AutoModelForQuestionAnswering":
            prefix = getattr(main, "qa_prefix", prefix)
        attrs = {
            "config_class": main.config_class,
            "model_class": main.model_class,
            "key_map": main.key_map,
            "neutral_config_keys": main.neutral_config_keys,
            "base_model_prefix": prefix,
        }
        made.append(type(name, (base,), attrs))
    return made
