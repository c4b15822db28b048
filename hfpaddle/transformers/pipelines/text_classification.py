"""Text classification: which label fits a text, or a pair of texts."""

from __future__ import annotations

from typing import Any

from hfpaddle.transformers.pipelines.base import Pipeline
from hfpaddle.transformers.pipelines.iteration import as_array
from hfpaddle.transformers.pipelines.scores import (
    ClassificationFunction,
    default_function,
    scored,
    without_cache,
)
from hfpaddle.transformers.pipelines.tasks import register_task


@register_task(
    "text-classification",
    auto="AutoModelForSequenceClassification",
    default=("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "714eb0f"),
    aliases=("sentiment-analysis",),
)
class TextClassificationPipeline(Pipeline):
    """Scores each label. ``function_to_apply`` is "sigmoid", "softmax" or "none".

    By default: none for a regression, the sigmoid for several labels at once or a single one, else
    the softmax.
    """

    _load_tokenizer = True
    auto = "AutoModelForSequenceClassification"

    def _sanitize_parameters(
        self, function_to_apply: Any = None, top_k: Any = "", **tokenizer_kwargs: Any
    ) -> tuple[dict, dict, dict]:
        postprocess: dict[str, Any] = {}
        if isinstance(top_k, int) or top_k is None:  # None asks for all labels; "" is not given
            postprocess["top_k"], postprocess["_legacy"] = top_k, False
        if isinstance(function_to_apply, str):
            function_to_apply = ClassificationFunction[function_to_apply.upper()]
        if function_to_apply is not None:
            postprocess["function_to_apply"] = function_to_apply
        return tokenizer_kwargs, {}, postprocess

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Classify texts.

        Args:
            inputs: a text, ``{"text": ..., "text_pair": ...}``, or many of either.
            top_k: how many labels to return for each, None for all.
            function_to_apply: see the class.
            kwargs: the tokenizer's, such as ``truncation``; ``batch_size``, ``progress``.

        Returns: without ``top_k`` a list of ``{"label", "score"}`` with the best of each text; with
        it a list of them for a text, and a list of lists for a list.
        """
        result = super().__call__(inputs, **kwargs)
        return [result] if isinstance(inputs, str) and "top_k" not in kwargs else result

    def preprocess(self, inputs: Any, **tokenizer_kwargs: Any) -> Any:
        tokenizer_kwargs = {"return_tensors": "pt", **tokenizer_kwargs}
        if isinstance(inputs, dict):
            return self.tokenizer(**inputs, **tokenizer_kwargs)
        if isinstance(inputs, list):
            pair = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], list) else ()
            if len(pair) != 2:
                raise ValueError(
                    "The pipeline received invalid inputs, if you are trying to send text pairs, "
                    'you can try to send a dictionary `{"text": "My text", "text_pair": "My pair"}`'
                    " in order to send a text pair."
                )
            return self.tokenizer(text=pair[0], text_pair=pair[1], **tokenizer_kwargs)
        return self.tokenizer(inputs, **tokenizer_kwargs)

    def _forward(self, model_inputs: Any) -> Any:
        return {"logits": self.model(**model_inputs, **without_cache(self.model)).logits}

    def postprocess(
        self,
        model_outputs: Any,
        function_to_apply: Any = None,
        top_k: Any = 1,
        _legacy: bool = True,
    ) -> Any:
        logits = as_array(model_outputs["logits"])[0]
        scores = scored(logits, function_to_apply or default_function(self.model.config))
        labels = self.model.config.id2label
        if top_k == 1 and _legacy:
            return {"label": labels[scores.argmax().item()], "score": scores.max().item()}
        found = [{"label": labels[i], "score": score.item()} for i, score in enumerate(scores)]
        if _legacy:
            return found
        found.sort(key=lambda entry: entry["score"], reverse=True)
        return found if top_k is None else found[:top_k]
