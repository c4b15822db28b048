"""Questions and their answers: what users pass, and the spans that a model's logits mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hfpaddle.transformers.pipelines.iteration import as_array, is_stream
from hfpaddle.transformers.pipelines.scores import softmax

_EXCLUDED = np.float32(-10000.0)


@dataclass
class Example:
    """A question about a text."""

    question_text: str
    context_text: str


def best_spans(
    output: Any, count: int, max_answer_len: int
) -> tuple[list[tuple[int, int, float]], float]:
    """Return the best ``(start, end, probability)`` of a chunk, and that of "no answer".

    The probability is that of start times that of end, each a softmax over the allowed tokens.
    """
    allowed = output["p_mask"].numpy()[0] == 0
    if "attention_mask" in output:
        allowed &= output["attention_mask"].numpy()[0] != 0
    start_S, end_S = (
        softmax(np.where(allowed, as_array(output[key])[0], _EXCLUDED)) for key in ("start", "end")
    )
    null_score = (start_S[0] * end_S[0]).item()
    start_S[0] = end_S[0] = 0.0  # the first token is no answer
    both_SS = np.tril(np.triu(start_S[:, None] * end_S[None, :]), max_answer_len - 1)
    flat = both_SS.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    starts, ends = np.unravel_index(order, both_SS.shape)
    spans = zip(starts.tolist(), ends.tolist(), flat[order].tolist(), strict=True)
    return [span for span in spans if allowed[span[0]] and allowed[span[1]]], null_score


def examples(args: tuple, kwargs: dict[str, Any]) -> Any:
    """Take question and context out of the arguments: a list of examples, or a stream."""
    named = {key: kwargs.pop(key) for key in ("X", "data", "question", "context") if key in kwargs}
    if len(args) == 2 and all(isinstance(arg, str) for arg in args):
        inputs: Any = [Example(*args)]
    elif args:
        inputs = args[0] if len(args) == 1 else list(args)
    elif "X" in named or "data" in named:
        inputs = named.get("X", named.get("data"))
    elif {"question", "context"} <= named.keys():
        inputs = _paired(named["question"], named["context"])
    else:
        raise ValueError(f"question-answering: pass question= and context=; got {sorted(kwargs)}.")
    if is_stream(inputs):
        return inputs
    if isinstance(inputs, (dict, Example)):
        inputs = [inputs]
    return [normalized(item) for item in inputs]


def _paired(questions: Any, contexts: Any) -> list[Example]:
    if isinstance(questions, str) and isinstance(contexts, str):
        return [Example(questions, contexts)]
    if not isinstance(questions, list) or not isinstance(contexts, (str, list)):
        raise ValueError("Arguments can't be understood: pass texts, or lists of texts.")
    if isinstance(contexts, str):
        return [Example(question, contexts) for question in questions]
    if len(questions) != len(contexts):
        raise ValueError("Questions and contexts don't have the same lengths")
    return [Example(*pair) for pair in zip(questions, contexts, strict=True)]


def normalized(item: Any) -> Example:
    if isinstance(item, Example):
        return item
    if not isinstance(item, dict):
        raise ValueError(f"{item!r} needs to be a dict with question and context")
    for key in ("question", "context"):
        if key not in item:
            raise KeyError("You need to provide a dictionary with keys {question:..., context:...}")
        if not item[key]:
            raise ValueError(f"`{key}` cannot be {'None' if item[key] is None else 'empty'}")
    return Example(item["question"], item["context"])
