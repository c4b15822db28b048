"""Extractive question answering: the span of a text that answers a question.

Source: the task of transformers 4.x, which transformers 5 no longer has. Same arguments, same
algorithm. Shape letters: S tokens of one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.transformers.pipelines.base import ChunkPipeline
from hfpaddle.transformers.pipelines.questions import Example, best_spans, examples, normalized
from hfpaddle.transformers.pipelines.scores import without_cache
from hfpaddle.transformers.pipelines.tasks import register_task

_CHUNK, _OVERLAP, _ANSWER = 384, 128, 15


@register_task(
    "question-answering",
    auto="AutoModelForQuestionAnswering",
    default=("distilbert/distilbert-base-cased-distilled-squad", "564e9b5"),
)
class QuestionAnsweringPipeline(ChunkPipeline):
    """Finds answers in texts of any length, in chunks that overlap."""

    _load_tokenizer = True
    auto = "AutoModelForQuestionAnswering"
    default_input_names = "question,context"
    handle_impossible_answer = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.tokenizer.is_fast:
            raise UnsupportedArgumentError(
                f"question-answering: {type(self.tokenizer).__name__} is a slow tokenizer, which "
                "does not tell where in the text its tokens stand. Use a fast one (use_fast=True)."
            )

    @staticmethod
    def create_sample(question: Any, context: Any) -> Any:
        """Return an example for two texts, or a list of them for two lists."""
        if isinstance(question, list):
            return [Example(q, c) for q, c in zip(question, context, strict=False)]
        return Example(question, context)

    def _sanitize_parameters(
        self,
        padding: Any = None,
        topk: int | None = None,
        top_k: int | None = None,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        max_question_len: int | None = None,
        handle_impossible_answer: bool | None = None,
        align_to_words: bool | None = None,
        **_: Any,
    ) -> tuple[dict, dict, dict]:
        if topk is not None:
            warn_once("topk parameter is deprecated, use top_k instead")
            top_k = topk if top_k is None else top_k
        if max_question_len is not None:
            warn_once("max_question_len has no effect with fast tokenizers: questions stay whole.")
        preprocess = {"padding": padding, "doc_stride": doc_stride, "max_seq_len": max_seq_len}
        postprocess = {
            "top_k": top_k,
            "max_answer_len": max_answer_len,
            "handle_impossible_answer": handle_impossible_answer,
            "align_to_words": align_to_words,
        }
        for name in ("top_k", "max_answer_len"):
            value = postprocess[name]
            if value is not None and value < 1:
                raise ValueError(f"{name} parameter should be >= 1 (got {value})")
        given = [
            {k: v for k, v in part.items() if v is not None} for part in (preprocess, postprocess)
        ]
        return given[0], {}, given[1]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer questions.

        Args:
            args: ``{"question", "context"}``, many of them, or question and context; or
            question, context: a text or a list of them; one context may serve many questions.
            top_k: how many answers (1).
            max_seq_len: tokens of question and chunk together (384, or the tokenizer's limit).
            doc_stride: tokens that chunks share (128, or half of ``max_seq_len``).
            max_answer_len: tokens of the longest answer (15).
            handle_impossible_answer: let the empty answer compete.
            align_to_words: extend answers to whole words (True).

        Returns: ``{"score", "start", "end", "answer"}``, a list of them for ``top_k`` above 1, and
        a list of either for several questions. ``start`` and ``end`` count characters.
        """
        inputs = examples(args, kwargs)
        single = isinstance(inputs, list) and len(inputs) == 1
        return super().__call__(inputs[0] if single else inputs, **kwargs)

    def preprocess(
        self,
        example: Any,
        padding: Any = "do_not_pad",
        doc_stride: int | None = None,
        max_seq_len: int | None = None,
    ) -> Iterator:
        example = normalized(example)
        longest = max_seq_len or min(self.tokenizer.model_max_length, _CHUNK)
        overlap = min(longest // 2, _OVERLAP) if doc_stride is None else doc_stride
        if overlap > longest:
            raise ValueError(f"`doc_stride` ({overlap}) is larger than `max_seq_len` ({longest})")
        first = self.tokenizer.padding_side == "right"  # the question
        pair = (example.question_text, example.context_text)
        encoded = self._chunked(
            pair[0 if first else 1], pair[1 if first else 0], padding, longest, overlap
        )
        names = {*self.tokenizer.model_input_names, "token_type_ids"} & set(encoded.keys())
        chunks = len(encoded["input_ids"])
        for i in range(chunks):
            arrays = {name: np.array([encoded[name][i]], dtype="int64") for name in names}
            # With the question last, 4.x excludes no token at all.
            outside = [first and part != 1 for part in encoded.sequence_ids(i)]
            # The first token stays, as the place of "no answer".
            outside = np.array([outside]) & (arrays["input_ids"] != self.tokenizer.cls_token_id)
            arrays["p_mask"] = outside.astype("int64")
            yield {
                "example": example,
                "is_last": i == chunks - 1,
                "encoding": encoded[i],
                **{k: paddle.to_tensor(v, place=paddle.CPUPlace()) for k, v in arrays.items()},
            }

    def _chunked(self, text: str, pair: str, padding: Any, longest: int, overlap: int) -> Any:
        """Encode question and context in chunks, of which only the context is cut."""
        first = self.tokenizer.padding_side == "right"
        try:
            return self.tokenizer(
                text=text,
                text_pair=pair,
                padding=padding,
                truncation="only_second" if first else "only_first",
                max_length=longest,
                stride=overlap,
                return_token_type_ids=True,
                return_overflowing_tokens=True,
            )
        except BaseException as error:  # the tokenizers library panics, which is no Exception
            if "stride" not in str(error):
                raise
            raise ValueError(
                f"`doc_stride` ({overlap}) leaves no room in chunks of max_seq_len={longest}: "
                "beside the question a chunk must hold more than `doc_stride` tokens."
            ) from error

    def _forward(self, inputs: Any) -> Any:
        known = {key: inputs[key] for key in self.tokenizer.model_input_names}
        output = self.model(**known, **without_cache(self.model))
        return {"start": output.start_logits, "end": output.end_logits, **inputs}

    def postprocess(
        self,
        model_outputs: Any,
        top_k: int = 1,
        handle_impossible_answer: bool = False,
        max_answer_len: int = _ANSWER,
        align_to_words: bool = True,
    ) -> Any:
        answers: dict[str, dict] = {}  # by text in lower case: the same text adds up
        nothing = 1000000  # the score of "no answer": the lowest of all chunks
        # Candidates that align to one and the same word become one answer.
        candidates = top_k * 2 + 10 if align_to_words else top_k
        for output in model_outputs:
            spans, null_score = best_spans(output, candidates, max_answer_len)
            nothing = min(nothing, null_score)
            for start, end, score in spans:
                start, end = self._characters(output, start, end, align_to_words)
                text = output["example"].context_text[start:end]
                found = {"score": 0.0, "start": start, "end": end, "answer": text}
                answers.setdefault(text.lower(), found)["score"] += score
        ranked = list(answers.values())
        if handle_impossible_answer:
            ranked.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
        ranked = sorted(ranked, key=lambda answer: answer["score"], reverse=True)[:top_k]
        return ranked[0] if len(ranked) == 1 else ranked

    def _characters(self, output: Any, start: int, end: int, align: bool) -> tuple[int, int]:
        """Return the characters of a span of tokens, extended to whole words if asked."""
        encoding, first = output["encoding"], self.tokenizer.padding_side == "right"
        if not first:  # the encoding knows nothing of the padding of its batch
            padding = output["input_ids"].numpy() == self.tokenizer.pad_token_id
            start, end = start - int(padding.sum()), end - int(padding.sum())
        if align:
            try:
                words = encoding.token_to_word(start), encoding.token_to_word(end)
                spans = [encoding.word_to_chars(word, sequence_index=int(first)) for word in words]
                return spans[0][0], spans[1][1]
            except Exception:  # some tokenizers know no words; what they raise differs
                pass
        return encoding.offsets[start][0], encoding.offsets[end][1]
