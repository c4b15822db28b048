"""Functions on data, and packing, give what trl's give."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import trl
import trl_samples as samples
from trl.data_utils import common_prefix_length

import hfpaddle.trl as ours
from hfpaddle.trl import data_utils

KINDS = ["text", "chat", "dialogue", "sharegpt", "completion", "chat-completion", "preference"]
KINDS += ["chat-preference", "implicit-preference"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = samples.write_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_functions_of_examples(kind, tokenizer):
    for row in samples.rows(kind):
        assert ours.is_conversational(row) == trl.is_conversational(row)
        assert ours.is_conversational_from_value(row) == trl.is_conversational_from_value(row)
        assert ours.maybe_extract_prompt(row) == trl.maybe_extract_prompt(row)
        if kind != "sharegpt":
            want = trl.maybe_apply_chat_template(row, tokenizer)
            assert ours.maybe_apply_chat_template(row, tokenizer) == want
    fresh = [samples.rows(kind)[0] for _ in range(2)]
    assert ours.maybe_convert_to_chatml(fresh[0]) == trl.maybe_convert_to_chatml(fresh[1])


ASKED, SAID = samples.turns("user", "a"), samples.turns("assistant", "b ")
PROMPTS = [
    {"prompt": ASKED + SAID},
    {"prompt": ASKED, "completion": SAID, "label": 1},
]


@pytest.mark.parametrize("row", PROMPTS)
def test_prompts(row, tokenizer):
    want = trl.apply_chat_template(row, tokenizer)
    assert ours.apply_chat_template(row, tokenizer) == want


@pytest.mark.parametrize("row", [{"prompt": samples.turns("system", "a")}, {"chosen": []}])
def test_what_cannot_be_rendered(row, tokenizer):
    with pytest.raises((KeyError, ValueError)) as want:
        trl.apply_chat_template(row, tokenizer)
    with pytest.raises(want.type):
        ours.apply_chat_template(row, tokenizer)


@pytest.mark.parametrize("pair", ["ab cd|ab ce", "ab|ab", "ab|abc", "x|y", "a b|a c"])
def test_prompts_of_strings(pair):
    chosen, rejected = pair.split("|")
    row = {"chosen": chosen, "rejected": rejected}
    assert ours.extract_prompt(row) == trl.extract_prompt(row)
    got = data_utils.common_prefix_length(chosen, rejected)
    assert got == common_prefix_length(chosen, rejected)


@pytest.mark.parametrize("kind", ["preference", "implicit-preference", "text"])
def test_unpaired(kind):
    want = trl.maybe_unpair_preference_dataset(samples.dataset(kind))
    got = ours.maybe_unpair_preference_dataset(samples.dataset(kind))
    assert got.to_dict() == want.to_dict() and set(got.column_names) == set(want.column_names)


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
@pytest.mark.parametrize(("room", "batch"), [(32, 1000), (7, 100), (100, 37), (1, 1000)])
def test_packing(strategy, room, batch):
    random = np.random.default_rng(room)
    ids = [random.integers(0, 99, random.integers(0, 60)).tolist() for _ in range(400)]
    data = datasets.Dataset.from_dict({"input_ids": ids, "labels": [row[::-1] for row in ids]})
    settings = {"batch_size": batch}
    want = trl.pack_dataset(data, room, strategy, dict(settings))
    got = ours.pack_dataset(data, room, strategy, dict(settings))
    assert got.to_dict() == want.to_dict()
    assert got.features == want.features
    assert got.format == want.format


def test_packing_of_streams():
    data = samples.dataset("text").map(lambda row: {"ids": [ord(c) for c in row["text"]]})
    data = data.remove_columns("text").to_iterable_dataset()
    want, got = (list(lib.pack_dataset(data, 50)) for lib in (trl, ours))
    assert [{k: list(v) for k, v in row.items()} for row in got] == [
        {k: list(v) for k, v in row.items()} for row in want
    ]
