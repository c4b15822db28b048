"""Every collator gives upstream's batch: keys, types, values, and the seeded masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trainer_samples as samples
import transformers as reference

import hfpaddle.transformers as ours
from hfpaddle.core import rng


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = samples.write_bert_tokenizer(tmp_path_factory.mktemp("bert"))
    return tuple(lib.AutoTokenizer.from_pretrained(folder) for lib in (reference, ours))


def seed(value: int) -> None:
    torch.manual_seed(value)
    rng.manual_seed(value)


def assert_same(want, got, where="batch"):
    if want is None or isinstance(want, (int, float, str)):
        assert want == got, where
        return
    if isinstance(want, (list, tuple)):
        assert len(want) == len(got), where
        for i, (a, b) in enumerate(zip(want, got, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
        return
    if isinstance(want, torch.Tensor):
        assert str(want.dtype).split(".")[1] == str(got.dtype).split(".")[1], where
        want, got = want.numpy(), got.numpy()
    assert want.dtype == got.dtype and want.shape == got.shape, where
    np.testing.assert_array_equal(want, got, err_msg=where)


def assert_same_batch(want, got):
    assert set(want) == set(got)
    for key in want:
        assert_same(want[key], got[key], key)


def both(name, tokenizers, features, calls=1, **kwargs):
    """Run the collator ``name`` of both libraries on copies of ``features``."""
    seed(7)
    collators = [
        getattr(lib, name)(**({"tokenizer": tok} if tok else {}), **kwargs)
        for lib, tok in zip((reference, ours), tokenizers or (None, None), strict=True)
    ]
    for _ in range(calls):
        want, got = (c([dict(f) for f in features]) for c in collators)
        assert_same_batch(want, got)
    return got


def encoded(tokenizers, **kwargs):
    return [dict(tokenizers[0](text, **kwargs)) for text in samples.SENTENCES]


@pytest.mark.parametrize("extra", [{"label": 3}, {"label": 0.5}, {"label_ids": [1, 2]}])
def test_default(extra):
    features = [{"x": [1, 2], "y": [0.5, 1.5], "z": i, "name": "n", "none": None} for i in range(3)]
    both("DefaultDataCollator", None, [{**f, **extra} for f in features])


def test_default_of_arrays_and_objects():
    arrays = [{"x": np.arange(3.0) + i, "y": np.float32(i), "b": [True, False]} for i in range(2)]
    want, got = (lib.default_data_collator(arrays) for lib in (reference, ours))
    assert_same_batch(want, got)


def test_default_numpy():
    features = [{"x": [1, 2], "label": i} for i in range(3)]
    want, got = (lib.default_data_collator(features, "np") for lib in (reference, ours))
    assert_same_batch(want, got)


@pytest.mark.parametrize("label", [1, 0.25])
@pytest.mark.parametrize("multiple", [None, 8])
def test_padding(tokenizers, label, multiple):
    features = [{**f, "label": label} for f in encoded(tokenizers)]
    both("DataCollatorWithPadding", tokenizers, features, pad_to_multiple_of=multiple)


def test_padding_with_upstream_tokenizer(tokenizers):
    features = encoded(tokenizers)
    plain = tokenizers[0]
    want = reference.DataCollatorWithPadding(plain)(features)
    assert_same_batch(want, ours.DataCollatorWithPadding(plain)(features))


@pytest.mark.parametrize("side", ["right", "left"])
def test_token_classification(tokenizers, side):
    features = [{**f, "labels": [1] * len(f["input_ids"])} for f in encoded(tokenizers)]
    try:
        for tokenizer in tokenizers:
            tokenizer.padding_side = side
        both("DataCollatorForTokenClassification", tokenizers, features)
    finally:
        for tokenizer in tokenizers:
            tokenizer.padding_side = "right"


def test_multiple_choice(tokenizers):
    rows = encoded(tokenizers)
    features = [
        {**{k: [rows[i][k], rows[i + 1][k]] for k in rows[0]}, "label": i % 2} for i in range(4)
    ]
    both("DataCollatorForMultipleChoice", tokenizers, features)


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 24}],
    ids=["longest", "multiple", "max_length"],
)
def test_seq2seq(tokenizers, kwargs):
    features = [{**f, "labels": f["input_ids"][:5]} for f in encoded(tokenizers)]
    both("DataCollatorForSeq2Seq", tokenizers, features, **kwargs)
    arrays = [{**f, "labels": np.array(f["labels"])} for f in features]
    both("DataCollatorForSeq2Seq", tokenizers, arrays, **kwargs)
    both("DataCollatorForSeq2Seq", tokenizers, encoded(tokenizers), **kwargs)


@pytest.mark.parametrize("own_seed", [None, 11])
@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mlm_probability": 0.5, "pad_to_multiple_of": 8},
        {"mask_replace_prob": 0.3, "random_replace_prob": 0.6},
        {"mlm": False},
    ],
    ids=["default", "half", "random", "causal"],
)
def test_language_modeling(tokenizers, own_seed, special, kwargs):
    features = encoded(tokenizers, return_special_tokens_mask=special)
    both("DataCollatorForLanguageModeling", tokenizers, features, 3, seed=own_seed, **kwargs)


def test_whole_words(tokenizers):
    # The tokenizer pads no offsets, so upstream wants sequences of one length.
    wanted = {"return_special_tokens_mask": True, "return_offsets_mapping": True}
    features = encoded(tokenizers, padding="max_length", max_length=24, **wanted)
    kwargs = {"whole_word_mask": True, "mask_replace_prob": 1.0, "random_replace_prob": 0.0}
    got = both("DataCollatorForLanguageModeling", tokenizers, features, 3, **kwargs)
    assert (got["labels"].numpy() != -100).any()


def test_the_older_name_of_whole_words(tokenizers):
    _, tokenizer = tokenizers
    wanted = {"return_special_tokens_mask": True, "return_offsets_mapping": True}
    features = encoded(tokenizers, padding="max_length", max_length=24, **wanted)
    now = ours.DataCollatorForLanguageModeling(tokenizer, seed=4)
    now.whole_word_mask = True  # what the older class did: tokens may be replaced at random, too
    with pytest.warns(FutureWarning, match="whole_word_mask=True"):
        before = ours.DataCollatorForWholeWordMask(tokenizer, seed=4)
    batches = [c([dict(f) for f in features])["input_ids"].tolist() for c in (now, before)]
    assert batches[0] == batches[1]


def test_language_modeling_numpy(tokenizers):
    features = encoded(tokenizers, return_special_tokens_mask=True)
    both("DataCollatorForLanguageModeling", tokenizers, features, seed=3, return_tensors="np")


def test_language_modeling_of_lists(tokenizers):
    lists = [f["input_ids"] for f in encoded(tokenizers)]
    collators = [
        lib.DataCollatorForLanguageModeling(tok, seed=5)
        for lib, tok in zip((reference, ours), tokenizers, strict=True)
    ]
    assert_same_batch(*(c([list(x) for x in lists]) for c in collators))


def test_permutation(tokenizers):
    features = [{"input_ids": (f["input_ids"] * 3)[:14]} for f in encoded(tokenizers)]
    both("DataCollatorForPermutationLanguageModeling", tokenizers, features, 3)
    odd = [{"input_ids": f["input_ids"][:13]} for f in features]
    with pytest.raises(ValueError, match="even"):
        ours.DataCollatorForPermutationLanguageModeling(tokenizers[1])(odd)


@pytest.mark.parametrize("tensors", ["pt", "np"])
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"return_flash_attn_kwargs": True, "return_seq_idx": True, "position_ids_start": 2}],
    ids=["default", "all"],
)
def test_flattening(tokenizers, kwargs, tensors):
    features = [{"input_ids": f["input_ids"]} for f in encoded(tokenizers)]
    both("DataCollatorWithFlattening", None, features, return_tensors=tensors, **kwargs)
    features = [{**f, "labels": f["input_ids"]} for f in features]
    both("DataCollatorWithFlattening", None, features, return_tensors=tensors, **kwargs)
    with pytest.raises(ValueError, match="'tf'"):
        ours.DataCollatorWithFlattening(return_tensors="tf")(features)
