"""Question answering: the answers that transformers 4.57.1 gave, and those counted by hand."""

from __future__ import annotations

import itertools
import json

import numpy as np
import paddle
import pytest
import torch
import transformers
from pipeline_models import checkpoint, same, word_tokenizer
from question_cases import CASES, CONTEXT, FILE, LONG, RECORDED_WITH, WHERE, WHO, recorded

import hfpaddle.transformers as hf


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("reader"), "AutoModelForQuestionAnswering")


@pytest.fixture(scope="module")
def pipe(reader):
    return hf.pipeline("question-answering", model=reader)


def test_the_record_is_of_the_version_it_names():
    assert json.loads(FILE.read_text())["recorded_with"] == RECORDED_WITH
    assert len(recorded()) == len(CASES)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_answers_equal_the_recorded_ones(reader, case):
    start, call = CASES[case]
    start = dict(start)
    tokenizer = word_tokenizer(padding_side=start.pop("side", "right"))
    pipe = hf.pipeline("question-answering", model=reader, tokenizer=tokenizer, **start)
    same(pipe(**call), recorded()[case])


def by_hand(folder: str, longest: int) -> list[tuple[float, str]]:
    """Return all answers of one chunk by the definition, best first: from the original's logits."""
    encoded = word_tokenizer()(WHERE, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        output = model(**encoded)
    allowed = [i for i, part in enumerate(encoded.sequence_ids(0)) if part == 1]
    kept = [0, *allowed]  # the first token takes its share of the probability, and is no answer
    start = torch.softmax(output.start_logits[0, kept], 0).tolist()[1:]
    end = torch.softmax(output.end_logits[0, kept], 0).tolist()[1:]
    spans = itertools.combinations_with_replacement(range(len(allowed)), 2)
    found = {}
    for i, j in spans:
        if j - i < longest:
            text = CONTEXT[offsets[allowed[i]][0] : offsets[allowed[j]][1]]
            found[text.lower()] = found.get(text.lower(), 0.0) + start[i] * end[j]
    return sorted(((score, text) for text, score in found.items()), reverse=True)


@pytest.mark.parametrize("longest", [1, 4, 15])
def test_answers_equal_the_definition(reader, pipe, longest):
    want = by_hand(reader, longest)
    got = pipe(WHERE, CONTEXT, top_k=10000, max_answer_len=longest, align_to_words=False)
    got = [answer for answer in got if answer["score"] > 0]  # with so many, the impossible come too
    scored = {answer["answer"].lower(): answer["score"] for answer in got}
    assert scored.keys() == {text for _, text in want}
    for score, text in want:
        assert abs(scored[text] - score) < 1e-5
    assert [answer["score"] for answer in got] == sorted(scored.values(), reverse=True)
    for answer in got:
        assert CONTEXT[answer["start"] : answer["end"]] == answer["answer"]


def test_ways_to_ask(pipe):
    example = {"question": WHERE, "context": CONTEXT}
    want, other = pipe(**example), pipe(question=WHO, context=LONG)
    assert isinstance(want, dict)
    same(pipe(WHERE, CONTEXT), want)
    same(pipe(example), want)
    same(pipe([example]), want)
    both = [example, {"question": WHO, "context": LONG}]
    for answers in (
        pipe(both),
        pipe(*both),
        pipe(data=both),
        pipe(X=both),
        pipe(both, batch_size=2),
    ):
        same(answers, [want, other])
    same(list(pipe(item for item in both)), [want, other])
    samples = pipe.create_sample(question=[WHERE, WHO], context=[CONTEXT, LONG])
    same(pipe(samples), [want, other])
    same(pipe(question=[WHERE, WHERE], context=CONTEXT), [want, want])


def test_long_texts_are_read_to_the_end(pipe):
    text = LONG + " berlin"
    answers = pipe(WHO, text, max_seq_len=20, doc_stride=4, top_k=2000, align_to_words=False)
    assert max(answer["end"] for answer in answers) == len(text)
    assert np.isfinite([answer["score"] for answer in answers]).all()


def test_refusals(reader, pipe):
    with pytest.raises(ValueError, match="top_k"):
        pipe(WHERE, CONTEXT, top_k=0)
    with pytest.raises(ValueError, match="max_answer_len"):
        pipe(WHERE, CONTEXT, max_answer_len=0)
    with pytest.raises(ValueError, match="doc_stride"):
        pipe(WHERE, CONTEXT, max_seq_len=20, doc_stride=21)
    with pytest.raises(ValueError, match="leaves no room"):
        pipe(WHERE, CONTEXT, max_seq_len=10, doc_stride=5)
    with pytest.raises(ValueError, match="lengths"):
        pipe(question=[WHERE], context=[CONTEXT, CONTEXT])
    with pytest.raises(ValueError, match="understood"):
        pipe(question=WHERE, context=[CONTEXT])
    with pytest.raises(ValueError, match="question= and context="):
        pipe(question=WHERE)
    with pytest.raises(ValueError, match="cannot be empty"):
        pipe({"question": "", "context": CONTEXT})
    with pytest.raises(ValueError, match="cannot be None"):
        pipe({"question": WHERE, "context": None})
    with pytest.raises(KeyError, match="question"):
        pipe({"context": CONTEXT})
    with pytest.raises(ValueError, match="dict"):
        pipe(WHERE)


def test_half_precision_weights(reader):
    pipe = hf.pipeline("question-answering", model=reader, dtype="bfloat16")
    assert pipe.dtype == paddle.bfloat16
    assert 0 < pipe(WHERE, CONTEXT)["score"] < 1
