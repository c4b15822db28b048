"""generate against the original's: equal tokens and equal records in every mode."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch
import transformers
from bridge import random_ids
from pairs import CONFIGS, DECODERS, ENCODER_DECODERS, OWN, build


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = build(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


def allowed(sample, ids):
    return [5 + sample, 17, 30, int(ids[-1]) % 90 + 3, 2]


# Ends early in some rows, so that padding and finished beams are exercised.
MANY_ENDS = list(range(2, 99, 6))
MODES = {
    "greedy": {},
    "max_length": {"max_new_tokens": None, "max_length": 19},
    "several ends": {"eos_token_id": MANY_ENDS},
    "no end": {"eos_token_id": None},
    "min_new_tokens": {"eos_token_id": MANY_ENDS, "min_new_tokens": 6},
    "min_length": {"eos_token_id": MANY_ENDS, "min_length": 14},
    "repetition_penalty": {"repetition_penalty": 1.8},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 2},
    "bad_words_ids": {"bad_words_ids": [[7], [9, 11], [2]]},
    "sequence_bias": {"sequence_bias": {(40,): 6.0, (41, 42): 5.0}},
    "suppress_tokens": {"suppress_tokens": list(range(3, 60))},
    "begin_suppress_tokens": {"begin_suppress_tokens": list(range(3, 80))},
    "forced_eos_token_id": {"forced_eos_token_id": 44},
    "exponential_decay": {"exponential_decay_length_penalty": (2, 1.6)},
    "renormalize_logits": {"renormalize_logits": True},
    "remove_invalid_values": {"remove_invalid_values": True},
    "prefix": {"prefix_allowed_tokens_fn": allowed},
    "no cache": {"use_cache": False},
    "sample": {"do_sample": True},
    "sample all": {"do_sample": True, "top_k": 0},
    "sample top_p": {"do_sample": True, "top_p": 0.7, "temperature": 1.4},
    "sample min_p": {"do_sample": True, "min_p": 0.1, "top_k": 0, "temperature": 1.7},
    "sample typical": {"do_sample": True, "typical_p": 0.6, "top_k": 0},
    "sample epsilon": {"do_sample": True, "epsilon_cutoff": 0.02, "top_k": 0},
    "sample eta": {"do_sample": True, "eta_cutoff": 0.05, "top_k": 0},
    "sample top_h": {"do_sample": True, "top_h": 0.4},
    "sample 3": {"do_sample": True, "num_return_sequences": 3, "eos_token_id": MANY_ENDS},
    "sample no cache": {"do_sample": True, "use_cache": False},
    "beam": {"num_beams": 3},
    "beam ends": {"num_beams": 4, "eos_token_id": MANY_ENDS, "num_return_sequences": 4},
    "beam early": {"num_beams": 3, "eos_token_id": MANY_ENDS, "early_stopping": True},
    "beam never": {"num_beams": 3, "eos_token_id": [2, 8], "early_stopping": "never"},
    "beam long": {"num_beams": 3, "eos_token_id": MANY_ENDS, "length_penalty": 3.0},
    "beam short": {"num_beams": 3, "eos_token_id": MANY_ENDS, "length_penalty": -1.0},
    "beam no cache": {"num_beams": 3, "use_cache": False},
    "beam processors": {"num_beams": 3, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
    "beam prefix": {"num_beams": 2, "prefix_allowed_tokens_fn": allowed},
    "beam no end": {"num_beams": 2, "eos_token_id": None},
    "beam sample": {"num_beams": 3, "do_sample": True},
    "beam sample ends": {
        "num_beams": 3,
        "do_sample": True,
        "eos_token_id": MANY_ENDS,
        "num_return_sequences": 2,
        "temperature": 1.5,
    },
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONFIGS)
def test_modes(pairs, name, mode):
    kwargs = {"max_new_tokens": 12, "do_sample": False, **MODES[mode]}
    kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "eos_token_id"}
    pair = pairs(name)
    if mode in ("no end", "beam no end"):
        for model in (pair.theirs, pair.ours):
            model.generation_config.eos_token_id = None
    try:
        pair.check(random_ids(2, 9), **kwargs)
    finally:
        for model in (pair.theirs, pair.ours):
            model.generation_config.eos_token_id = 2


PADDED = random_ids(3, 8)
PADDED[0, :5], PADDED[2, :1] = 0, 0


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("mode", ["greedy", "sample", "beam", "beam sample", "repetition_penalty"])
@pytest.mark.parametrize("name", DECODERS)
def test_left_padding(pairs, name, mode, masked):
    mask = {"attention_mask": (PADDED != 0).astype("int64")} if masked else {}
    pairs(name).check(PADDED, max_new_tokens=10, **{"do_sample": False, **MODES[mode]}, **mask)


@pytest.mark.parametrize("name", ENCODER_DECODERS)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"attention_mask": (PADDED[:, ::-1] != 0).astype("int64")},
        {"attention_mask": (PADDED[:, ::-1] != 0).astype("int64"), "num_beams": 3},
        {"decoder_input_ids": random_ids(3, 3, seed=4)},
        {"forced_bos_token_id": 7},
        {"encoder_repetition_penalty": 1.6},
        {"encoder_no_repeat_ngram_size": 1},
        {"encoder_no_repeat_ngram_size": 2, "num_beams": 2},
        {"decoder_start_token_id": 11},
    ],
    ids=lambda kwargs: " ".join(kwargs),
)
def test_encoder_decoder(pairs, name, kwargs):
    pairs(name).check(PADDED[:, ::-1].copy(), max_new_tokens=10, do_sample=False, **kwargs)


def compare(got, want, atol):
    """Compare nested tuples of tensors, None included."""
    if want is None or got is None:
        assert got is None and want is None
    elif isinstance(want, tuple):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            compare(a, b, atol)
    else:
        assert list(got.shape) == list(want.shape)
        np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=atol, atol=atol)


EVERYTHING = {
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
    "output_attentions": True,
    "output_hidden_states": True,
}


@pytest.mark.parametrize("mode", ["greedy", "sample top_p", "beam ends", "beam sample ends"])
@pytest.mark.parametrize("name", CONFIGS)
def test_records(pairs, name, mode):
    pair = pairs(name)
    before = pair.theirs.config._attn_implementation
    pair.theirs.set_attn_implementation("eager")
    kwargs = {"max_new_tokens": 7, "do_sample": False, **MODES[mode], **EVERYTHING}
    got, want = pair.run(random_ids(2, 6), kwargs)
    pair.theirs.set_attn_implementation(before)
    assert type(got).__name__ == type(want).__name__
    assert list(got.keys()) == list(want.keys())
    assert got.sequences.tolist() == want.sequences.tolist()
    for key in want.keys():
        if key != "past_key_values":
            compare(got[key], want[key], 2e-4 if name in OWN else 1e-5)
    assert int(got.past_key_values.get_seq_length()) == want.past_key_values.get_seq_length()
    for normalize in (False, True):
        scores = [
            model.compute_transition_scores(
                out.sequences, out.scores, out.get("beam_indices"), normalize_logits=normalize
            )
            for model, out in ((pair.ours, got), (pair.theirs, want))
        ]
        np.testing.assert_allclose(scores[0].numpy(), scores[1].numpy(), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", DECODERS)
def test_records_asked_for_one_by_one(pairs, name):
    for key in list(EVERYTHING)[1:]:
        kwargs = {"max_new_tokens": 3, "return_dict_in_generate": True, key: True}
        got, want = pairs(name).run(random_ids(1, 4), kwargs)
        assert list(got.keys()) == list(want.keys())


@pytest.mark.parametrize("mode", ["greedy", "sample", "beam", "beam sample"])
@pytest.mark.parametrize("name", OWN)
def test_static_cache(pairs, name, mode):
    kwargs = {"max_new_tokens": 14, "do_sample": False, **MODES[mode]}
    for kind in ("static", "dynamic"):
        pairs(name).check(random_ids(2, 9), cache_implementation=kind, **kwargs)
    mask = {"attention_mask": (PADDED != 0).astype("int64")}
    pairs(name).check(PADDED, cache_implementation="static", **kwargs, **mask)


@pytest.mark.parametrize("name", OWN)
def test_cache_goes_from_call_to_call(pairs, name):
    pair = pairs(name)
    more = random_ids(1, 5, seed=9)
    answers = []
    for model, tensor in ((pair.ours, paddle.to_tensor), (pair.theirs, torch.tensor)):
        first = model.generate(
            tensor(random_ids(1, 9)), max_new_tokens=6, return_dict_in_generate=True
        )
        ids = np.concatenate([first.sequences.numpy(), more], axis=1)
        second = model.generate(
            tensor(ids), past_key_values=first.past_key_values, max_new_tokens=8
        )
        fresh = model.generate(tensor(ids), max_new_tokens=8)
        assert second.tolist() == fresh.tolist()
        assert int(first.past_key_values.get_seq_length()) == ids.shape[1] + 7
        answers.append(second.tolist())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", OWN)
def test_prefill_in_chunks(pairs, name):
    mask = {"attention_mask": (PADDED != 0).astype("int64")}
    pairs(name).check(PADDED, max_new_tokens=8, prefill_chunk_size=3, **mask)
    pairs(name).check(random_ids(2, 9), max_new_tokens=8, prefill_chunk_size=4)


@pytest.mark.parametrize("kwargs", [{}, {"num_beams": 2}, {"max_length": 20}], ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_inputs_embeds(pairs, name, kwargs):
    pair, ids = pairs(name), random_ids(2, 7)
    embeds = pair.theirs.get_input_embeddings()(torch.tensor(ids)).detach().numpy()
    kwargs = {"max_new_tokens": 6, **kwargs} if "max_length" not in kwargs else kwargs
    out = pair.check(None, inputs_embeds=embeds, **kwargs)
    assert out.shape[1] <= 13
    with_ids = pair.check(ids, inputs_embeds=embeds, max_new_tokens=6)
    assert with_ids.shape[1] == 13


def test_without_prompt(pairs):
    for name in DECODERS:
        pairs(name).check(None, max_new_tokens=5)


@pytest.mark.parametrize("negative", [None, random_ids(2, 4, seed=8)], ids=["last", "prompt"])
@pytest.mark.parametrize("cached", [True, False])
def test_guidance(pairs, negative, cached):
    kwargs = {"guidance_scale": 1.7, "max_new_tokens": 8, "use_cache": cached}
    for name in OWN:
        pairs(name).check(random_ids(2, 6), negative_prompt_ids=negative, **kwargs)


def test_watermark(pairs):
    config = transformers.WatermarkingConfig(bias=4.0, seeding_scheme="lefthash")
    for name in OWN:
        pairs(name).check(random_ids(2, 6), max_new_tokens=8, watermarking_config=config)


def test_custom_processors_and_criteria(pairs):
    def double(ids, scores):
        return scores * 2

    def ends(ids, scores, **kwargs):
        return ids[:, -1] % 5 == 0

    for name in ("llama", "gpt2"):
        kwargs = {"logits_processor": [double], "stopping_criteria": [ends]}
        for more in ({}, {"do_sample": True}, {"num_beams": 2}):
            pairs(name).check(random_ids(2, 6), max_new_tokens=15, **kwargs, **more)


def test_generation_config_object_and_model_defaults(pairs):
    config = transformers.GenerationConfig(
        max_new_tokens=9, do_sample=True, top_k=7, num_return_sequences=2, pad_token_id=0
    )
    pair = pairs("llama")
    pair.check(random_ids(2, 6), generation_config=config)
    for model in (pair.ours, pair.theirs):
        model.generation_config.repetition_penalty = 1.4
        model.generation_config.max_length = 13
    try:
        assert pair.check(random_ids(2, 6)).shape[1] == 13
        pair.check(random_ids(2, 6), generation_config=config)
    finally:
        for model in (pair.ours, pair.theirs):
            model.generation_config.repetition_penalty = None
            model.generation_config.max_length = None


def test_integer_and_boolean_inputs(pairs):
    pair = pairs("llama")
    want = pair.check(PADDED, max_new_tokens=5, attention_mask=(PADDED != 0).astype("int64"))
    ids = paddle.to_tensor(PADDED.astype("int32"))
    got = pair.ours.generate(input_ids=ids, attention_mask=ids != 0, max_new_tokens=5)
    assert got.tolist() == want.tolist() and got.dtype == paddle.int64
