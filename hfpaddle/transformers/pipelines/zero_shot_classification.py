"""Zero-shot classification: labels chosen at the call, judged by a model of entailment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hfpaddle.core.logging import logger
from hfpaddle.transformers.pipelines.base import ChunkPipeline
from hfpaddle.transformers.pipelines.iteration import as_array
from hfpaddle.transformers.pipelines.scores import without_cache
from hfpaddle.transformers.pipelines.tasks import register_task

_TEMPLATE = "This example is {}."


@register_task(
    "zero-shot-classification",
    auto="AutoModelForSequenceClassification",
    default=("facebook/bart-large-mnli", "d7645e1"),
    inferred=False,
)
class ZeroShotClassificationPipeline(ChunkPipeline):
    """Asks for each label whether the text entails "This example is <label>."."""

    _load_tokenizer = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.entailment_id == -1:
            logger.warning(
                "Failed to determine 'entailment' label id from the label2id mapping in the model "
                "config. Setting to -1. Define a descriptive label2id mapping in the model config "
                "to ensure correct outputs."
            )

    @property
    def entailment_id(self) -> int:
        """Class that means "entailment", or -1."""
        labels = (self.model.config.label2id or {}).items()
        return next((i for label, i in labels if label.lower().startswith("entail")), -1)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        preprocess = {
            k: kwargs[k] for k in ("candidate_labels", "hypothesis_template") if k in kwargs
        }
        labels = preprocess.get("candidate_labels")
        if isinstance(labels, str):
            parts = (label.strip() for label in labels.split(","))
            preprocess["candidate_labels"] = [label for label in parts if label]
        return preprocess, {}, {k: kwargs[k] for k in ("multi_label",) if k in kwargs}

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        """Classify texts.

        Args:
            sequences: a text or many.
            candidate_labels: a list, or one string with commas; may be given second.
            hypothesis_template: a format string in which ``{}`` becomes the label.
            multi_label: judge each label alone, by entailment against contradiction; otherwise the
                scores of a text sum to 1.

        Returns: ``{"sequence", "labels", "scores"}``, best label first, or a list of these.
        """
        if len(args) == 1 and "candidate_labels" not in kwargs:
            kwargs["candidate_labels"] = args[0]
        elif args:
            raise ValueError(f"Unable to understand extra arguments {args}")
        return super().__call__(sequences, **kwargs)

    def preprocess(
        self, inputs: Any, candidate_labels: Any = None, hypothesis_template: str = _TEMPLATE
    ) -> Iterator:
        if not candidate_labels or len(inputs) == 0:
            raise ValueError("You must include at least one label and at least one sequence.")
        if hypothesis_template.format(candidate_labels[0]) == hypothesis_template:
            raise ValueError(
                f'The provided hypothesis_template "{hypothesis_template}" was not able to be '
                "formatted with the target labels. Make sure the passed template includes "
                "formatting syntax such as {} where the label should go."
            )
        text = inputs if isinstance(inputs, str) else inputs[0]
        for i, label in enumerate(candidate_labels):
            yield {
                "candidate_label": label,
                "sequence": text,
                "is_last": i == len(candidate_labels) - 1,
                **self._tokenized(text, hypothesis_template.format(label)),
            }

    def _tokenized(self, text: str, hypothesis: str) -> Any:
        """Encode the pair; where it is too long the text is cut, never the hypothesis."""
        if self.tokenizer.pad_token is None:
            logger.error(
                "Tokenizer was not supporting padding necessary for zero-shot, attempting to use "
                "`pad_token=eos_token`"
            )
            self.tokenizer.pad_token = self.tokenizer.eos_token
        pairs, kwargs = [[text, hypothesis]], {"return_tensors": "pt", "padding": True}
        try:
            return self.tokenizer(pairs, truncation="only_first", **kwargs)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            if "too short" not in str(error):
                raise
            # It was asked to shorten to a length that the text does not reach.
            return self.tokenizer(pairs, truncation="do_not_truncate", **kwargs)

    def _forward(self, inputs: Any) -> Any:
        known = {key: inputs[key] for key in self.tokenizer.model_input_names}
        passed = {key: inputs[key] for key in ("candidate_label", "sequence", "is_last")}
        return {**passed, "logits": self.model(**known, **without_cache(self.model)).logits}

    def postprocess(self, model_outputs: Any, multi_label: bool = False) -> Any:
        labels = [output["candidate_label"] for output in model_outputs]
        logits = np.concatenate([as_array(output["logits"]) for output in model_outputs])
        entails = self.entailment_id
        if multi_label or len(labels) == 1:
            against = -1 if entails == 0 else 0
            odds = np.exp(logits[:, [against, entails]])
            scores = (odds / odds.sum(-1, keepdims=True))[:, 1]
        else:
            odds = np.exp(logits[:, entails])
            scores = odds / odds.sum(-1, keepdims=True)
        order = list(reversed(scores.argsort()))
        return {
            "sequence": model_outputs[0]["sequence"],
            "labels": [labels[i] for i in order],
            "scores": scores[order].tolist(),
        }
