"""Token classification: a label for each token, or for the words and entities they make up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfpaddle.transformers.pipelines.base import ChunkPipeline
from hfpaddle.transformers.pipelines.entities import (
    BY_WORD,
    AggregationStrategy,
    EntityMixin,
)
from hfpaddle.transformers.pipelines.iteration import as_array, is_stream
from hfpaddle.transformers.pipelines.scores import softmax
from hfpaddle.transformers.pipelines.tasks import register_task


@register_task(
    "token-classification",
    auto="AutoModelForTokenClassification",
    default=("dbmdz/bert-large-cased-finetuned-conll03-english", "4c53496"),
    aliases=("ner",),
)
class TokenClassificationPipeline(EntityMixin, ChunkPipeline):
    """Labels tokens; see `AggregationStrategy` and `__call__`."""

    _load_tokenizer = True
    auto = "AutoModelForTokenClassification"
    default_input_names = "sequences"

    def _sanitize_parameters(
        self,
        ignore_labels: list[str] | None = None,
        aggregation_strategy: Any = None,
        offset_mapping: list | None = None,
        is_split_into_words: bool = False,
        stride: int | None = None,
        delimiter: str | None = None,
    ) -> tuple[dict, dict, dict]:
        preprocess: dict[str, Any] = {"is_split_into_words": is_split_into_words}
        if is_split_into_words:
            preprocess["delimiter"] = " " if delimiter is None else delimiter
        if offset_mapping is not None:
            preprocess["offset_mapping"] = offset_mapping
        postprocess: dict[str, Any] = {}
        if isinstance(aggregation_strategy, str):
            aggregation_strategy = AggregationStrategy[aggregation_strategy.upper()]
        if aggregation_strategy is not None:
            if aggregation_strategy in BY_WORD and not self.tokenizer.is_fast:
                raise ValueError(
                    "Slow tokenizers cannot handle subwords. Please set the `aggregation_strategy` "
                    'option to `"simple"` or use a fast tokenizer.'
                )
            postprocess["aggregation_strategy"] = aggregation_strategy
        if ignore_labels is not None:
            postprocess["ignore_labels"] = ignore_labels
        if stride is not None:
            preprocess["tokenizer_params"] = self._chunking(stride, aggregation_strategy)
        return preprocess, {}, postprocess

    def _chunking(self, stride: int, strategy: Any) -> dict[str, Any]:
        """Return the tokenizer's arguments for chunks that share ``stride`` tokens."""
        if stride >= self.tokenizer.model_max_length:
            raise ValueError(
                f"`stride` ({stride}) must be less than `tokenizer.model_max_length` "
                f"({self.tokenizer.model_max_length}), or even lower if the tokenizer adds special "
                "tokens"
            )
        if strategy == AggregationStrategy.NONE:
            raise ValueError(
                "`stride` was provided to process all the text but `aggregation_strategy="
                f'"{strategy}"`, please select another one instead.'
            )
        if not self.tokenizer.is_fast:
            raise ValueError(
                "`stride` was provided to process all the text but you're using a slow tokenizer. "
                "Please use a fast tokenizer."
            )
        return {"return_overflowing_tokens": True, "padding": True, "stride": stride}

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Classify the tokens of texts.

        Args:
            inputs: a text or many; lists of words with ``is_split_into_words``.
            aggregation_strategy: see `AggregationStrategy` ("none").
            ignore_labels: labels left out (["O"]).
            stride: read long texts whole, in chunks that share so many tokens.
            delimiter: what stands between words in the text to which offsets refer (" ").

        Returns: for a text a list of ``{"entity", "score", "index", "word", "start", "end"}``; with
        a strategy of ``{"entity_group", "score", "word", "start", "end"}``.
        """
        if not is_stream(inputs):
            if not isinstance(inputs, (str, list, tuple)) or (
                not isinstance(inputs, str) and len(inputs) == 0
            ):
                raise ValueError("At least one input is required.")
            inputs = list(inputs) if isinstance(inputs, tuple) else inputs
            _check_offsets(inputs, kwargs)
            words = kwargs.setdefault("is_split_into_words", False)
            if words and not all(isinstance(item, list) for item in inputs):
                return super().__call__([inputs], **kwargs)
        return super().__call__(inputs, **kwargs)

    def preprocess(
        self,
        sentence: Any,
        is_split_into_words: bool = False,
        delimiter: str = " ",
        offset_mapping: Any = None,
        tokenizer_params: dict | None = None,
    ) -> Iterator:
        if not isinstance(sentence, list if is_split_into_words else str):
            raise ValueError(
                "When `is_split_into_words=True`, `sentence` must be a list of tokens."
                if is_split_into_words
                else "When `is_split_into_words=False`, `sentence` must be an untokenized string."
            )
        if is_split_into_words and not self.tokenizer.is_fast:
            raise ValueError("is_split_into_words=True is only supported with fast tokenizers.")
        limit = self.tokenizer.model_max_length
        encoded = self.tokenizer(
            sentence,
            return_tensors="pt",
            truncation=bool(limit and limit > 0),
            return_special_tokens_mask=True,
            return_offsets_mapping=self.tokenizer.is_fast,
            **({"is_split_into_words": True} if is_split_into_words else {}),
            **(tokenizer_params or {}),
        )
        encoded.pop("overflow_to_sample_mapping", None)
        text = delimiter.join(sentence) if is_split_into_words else sentence
        chunks = len(encoded["input_ids"])
        for i in range(chunks):
            chunk = {key: value[i : i + 1] for key, value in encoded.items()}
            if offset_mapping is not None:
                chunk["offset_mapping"] = offset_mapping
            if is_split_into_words:
                chunk["word_ids"] = encoded.word_ids(i)
                chunk["word_to_chars_map"] = _word_spans(sentence, len(delimiter))
            yield {**chunk, "sentence": text if i == 0 else None, "is_last": i == chunks - 1}

    def _forward(self, model_inputs: Any) -> Any:
        beside = ("special_tokens_mask", "offset_mapping", "sentence", "is_last")
        beside = (*beside, "word_ids", "word_to_chars_map")
        kept = {key: model_inputs.pop(key, None) for key in beside}
        logits = self.model(**model_inputs).logits
        return {"logits": logits, **kept, "input_ids": model_inputs["input_ids"]}

    def postprocess(
        self,
        all_outputs: Any,
        aggregation_strategy: AggregationStrategy = AggregationStrategy.NONE,
        ignore_labels: list[str] | None = None,
    ) -> Any:
        ignored = ["O"] if ignore_labels is None else ignore_labels
        first, found = all_outputs[0], []
        for outputs in all_outputs:
            offsets = outputs["offset_mapping"]  # a tensor, or the user's list
            offsets = offsets.numpy() if hasattr(offsets, "numpy") else offsets
            tokens = self.gather_pre_entities(
                first["sentence"],
                outputs["input_ids"].numpy()[0],
                softmax(as_array(outputs["logits"])[0]),
                None if offsets is None else offsets[0],
                outputs["special_tokens_mask"].numpy()[0],
                aggregation_strategy,
                outputs["word_ids"],
                first["word_to_chars_map"],
            )
            for entity in self.aggregate(tokens, aggregation_strategy):
                if entity.get("entity", entity.get("entity_group")) not in ignored:
                    found.append(entity)
        return self.aggregate_overlapping_entities(found) if len(all_outputs) > 1 else found


def _check_offsets(inputs: Any, kwargs: dict[str, Any]) -> None:
    """Make the user's offsets a list with an entry a text. Raises: ValueError if there are more."""
    offsets = kwargs.get("offset_mapping")
    if not offsets:
        kwargs.pop("offset_mapping", None)
        return
    if isinstance(offsets, list) and isinstance(offsets[0], tuple):
        kwargs["offset_mapping"] = offsets = [offsets]
    if len(offsets) != (1 if isinstance(inputs, str) else len(inputs)):
        raise ValueError("offset_mapping should have the same batch size as the input")


def _word_spans(words: list[str], gap: int) -> list[tuple[int, int]]:
    """Return where each word stands in the text that joins them with ``gap`` characters between."""
    spans, start = [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + gap
    return spans


NerPipeline = TokenClassificationPipeline
