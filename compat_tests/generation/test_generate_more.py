"""generate against the original's: drafts, streams, stop strings, refusals and warnings."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import paddle
import pytest
import torch
import transformers
from bridge import random_ids
from pairs import CONFIGS, DECODERS, ENCODER_DECODERS, OWN, build
from test_stopping_criteria import byte_level

from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError

REPEATING = np.array([[7, 8, 9, 10, 11, 7, 8, 9, 10, 11, 7, 8]])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    made = {}

    def get(name, layers=None):
        if (name, layers) not in made:
            made[name, layers] = build(name, tmp_path_factory.mktemp(name), layers)
        return made[name, layers]

    return get


def both(pair, ids, seed=3, ours=None, theirs=None, **kwargs):
    """Generate with both, each with its own further arguments."""
    rng.manual_seed(seed)
    got = pair.ours.generate(paddle.to_tensor(ids), **kwargs, **(ours or {}))
    torch.manual_seed(seed)
    want = pair.theirs.generate(torch.tensor(ids), **kwargs, **(theirs or {}))
    return got, want


DRAFTED = {
    "greedy": {},
    "sample": {"do_sample": True},
    "sample top_p": {"do_sample": True, "top_p": 0.8, "temperature": 1.3},
    "ends": {"eos_token_id": list(range(2, 99, 5))},
    "processors": {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3},
    "min_new_tokens": {"eos_token_id": list(range(2, 99, 5)), "min_new_tokens": 12},
}


@pytest.mark.parametrize("mode", DRAFTED)
@pytest.mark.parametrize("name", CONFIGS)
def test_prompt_lookup(pairs, name, mode):
    for n in (1, 3):
        got, want = both(
            pairs(name),
            REPEATING,
            prompt_lookup_num_tokens=4,
            max_matching_ngram_size=n,
            max_new_tokens=24,
            **DRAFTED[mode],
        )
        assert got.tolist() == want.tolist()


@pytest.mark.parametrize("mode", DRAFTED)
@pytest.mark.parametrize("name", CONFIGS)
def test_assistant(pairs, name, mode):
    pair, draft = pairs(name), pairs(name, 1)
    for threshold, schedule in ((0.4, "constant"), (0.0, "heuristic"), (0.02, "heuristic")):
        for model in (draft.ours, draft.theirs):
            model.generation_config.assistant_confidence_threshold = threshold
            model.generation_config.num_assistant_tokens_schedule = schedule
            model.generation_config.num_assistant_tokens = 4
        got, want = both(
            pair,
            random_ids(1, 8),
            ours={"assistant_model": draft.ours},
            theirs={"assistant_model": draft.theirs},
            max_new_tokens=24,
            **DRAFTED[mode],
        )
        assert got.tolist() == want.tolist()
        counts = [m.generation_config.num_assistant_tokens for m in (draft.ours, draft.theirs)]
        # A tuned threshold is the probability of some draft, which rounding may put on either side.
        assert counts[0] == counts[1] or threshold


@pytest.mark.parametrize("name", OWN)
def test_drafts_change_no_greedy_token(pairs, name):
    pair = pairs(name)
    ids = paddle.to_tensor(random_ids(1, 8))
    plain = pair.ours.generate(ids, max_new_tokens=30)
    for own in ({"assistant_model": pairs(name, 1).ours}, {"prompt_lookup_num_tokens": 3}):
        assert pair.ours.generate(ids, max_new_tokens=30, **own).tolist() == plain.tolist()


def test_a_perfect_assistant(pairs):
    """The model as its own assistant: long matches, in which every candidate is kept."""
    for name in DECODERS:
        pair = pairs(name)
        for sample in (False, True):
            own = {
                "ours": {"assistant_model": pair.ours},
                "theirs": {"assistant_model": pair.theirs},
            }
            got, want = both(pair, random_ids(1, 6), do_sample=sample, max_new_tokens=25, **own)
            assert got.tolist() == want.tolist()


@pytest.mark.parametrize("sample", [False, True])
def test_ensemble_weight(pairs, sample):
    pair, draft = pairs("llama"), pairs("llama", 1)
    own = {"ours": {"assistant_model": draft.ours}, "theirs": {"assistant_model": draft.theirs}}
    kwargs = {"do_sample": sample, "assistant_ensemble_weight": 0.6, "max_new_tokens": 25}
    got, want = both(pair, random_ids(1, 6), **own, **kwargs)
    assert got.tolist() == want.tolist()


@pytest.mark.parametrize("name", OWN)
def test_records_of_drafted_tokens(pairs, name):
    """One entry a token, equal to those of ordinary decoding."""
    pair = pairs(name)
    flags = {
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
        "output_hidden_states": True,
        "output_attentions": name == "llama",  # a window's width depends on the chunk
    }
    ids = paddle.to_tensor(REPEATING)
    drafted = pair.ours.generate(ids, max_new_tokens=20, prompt_lookup_num_tokens=4, **flags)
    plain = pair.ours.generate(ids, max_new_tokens=20, **flags)
    assert drafted.sequences.tolist() == plain.sequences.tolist()
    for key in ("scores", "logits", "hidden_states", "attentions"):
        a, b = drafted.get(key), plain.get(key)
        if b is None:
            continue
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            layers = ((x,), (y,)) if key in ("scores", "logits") else (x, y)
            for one, other in zip(*layers, strict=True):
                assert one.shape == other.shape
                np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-3)
    for out in (drafted, plain):
        assert out.past_key_values.get_seq_length() == out.sequences.shape[1] - 1


STREAMED = [{}, {"do_sample": True}, {"prompt_lookup_num_tokens": 3}]


@pytest.mark.parametrize("kwargs", STREAMED, ids=str)
def test_streamers(pairs, capsys, kwargs):
    tokenizer, pair = byte_level(), pairs("llama")
    texts = []
    for model, tensor, seed in (
        (pair.ours, paddle.to_tensor, rng.manual_seed),
        (pair.theirs, torch.tensor, torch.manual_seed),
    ):
        for skip in (False, True):
            seed(1)
            streamer = transformers.TextStreamer(tokenizer, skip_prompt=skip)
            model.generate(tensor(REPEATING), streamer=streamer, max_new_tokens=15, **kwargs)
            texts.append(capsys.readouterr().out)
    assert texts[:2] == texts[2:] and len(texts[0]) > len(texts[1]) > 5


def test_text_iterator_streamer_from_a_thread(pairs):
    tokenizer, model = byte_level(), pairs("llama").ours
    streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=30)
    ids = paddle.to_tensor(REPEATING)
    kwargs = {"inputs": ids, "streamer": streamer, "max_new_tokens": 12}
    worker = threading.Thread(target=model.generate, kwargs=kwargs)
    worker.start()
    text = "".join(streamer)
    worker.join()
    new = model.generate(ids, max_new_tokens=12)[0, REPEATING.shape[1] :]
    assert text == tokenizer.decode(new.tolist())


def test_stop_strings(pairs):
    tokenizer, pair = byte_level(), pairs("llama")
    full = pair.theirs.generate(torch.tensor(REPEATING), max_new_tokens=20)[0]
    text = tokenizer.decode(full[REPEATING.shape[1] :])
    stop = text[6:9]
    kwargs = {"stop_strings": [stop, "never there"], "tokenizer": tokenizer, "max_new_tokens": 20}
    got, want = both(pair, REPEATING, **kwargs)
    assert got.tolist() == want.tolist() and got.shape[1] < len(full)
    got, want = both(pair, np.repeat(REPEATING, 2, 0), num_beams=2, **kwargs)
    assert got.tolist() == want.tolist()


REFUSED = {
    "unknown argument": {"max_newtokens": 3},
    "unknown array": {"pixels": REPEATING},
    "greedy copies": {"num_return_sequences": 2},
    "more copies than beams": {"num_beams": 2, "num_return_sequences": 3},
    "no new token": {"max_new_tokens": 0},
    "prompt too long": {"max_length": 5},
    "temperature": {"do_sample": True, "temperature": 0.0, "max_new_tokens": 2},
    "top_p": {"do_sample": True, "top_p": -0.5, "max_new_tokens": 2},
    "beams and streamer": {"num_beams": 2, "streamer": object(), "max_new_tokens": 2},
    "low memory": {"num_beams": 2, "low_memory": True, "max_new_tokens": 2},
    "stop strings without tokenizer": {"stop_strings": "a", "max_new_tokens": 2},
    "cache kind": {"cache_implementation": "huge", "max_new_tokens": 2},
    "cache as tuple": {"past_key_values": ((1, 2),), "max_new_tokens": 2},
    "drafts without cache": {"prompt_lookup_num_tokens": 2, "use_cache": False},
    "drafts in a static cache": {"prompt_lookup_num_tokens": 2, "cache_implementation": "static"},
    "ensemble of the prompt": {"prompt_lookup_num_tokens": 2, "assistant_ensemble_weight": 0.5},
    "ngram": {"prompt_lookup_num_tokens": 2, "max_matching_ngram_size": -1},
    "both prompts": {"input_ids": REPEATING, "max_new_tokens": 2},
    "empty prefix": {"prefix_allowed_tokens_fn": lambda i, ids: [], "max_new_tokens": 2},
    "4-D mask": {"attention_mask": np.ones((1, 1, 12, 12), "int64"), "max_new_tokens": 2},
    "forced and suppressed": {"forced_eos_token_id": 5, "suppress_tokens": [5]},
    "penalty": {"repetition_penalty": -1.0, "max_new_tokens": 2},
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_of_the_original(pairs, case):
    pair = pairs("llama")
    for model, tensor in ((pair.theirs, torch.tensor), (pair.ours, paddle.to_tensor)):
        kwargs = {
            k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in REFUSED[case].items()
        }
        with pytest.raises(ValueError):
            model.generate(tensor(REPEATING), **kwargs)


def test_refusals_that_need_a_model(pairs):
    pair, draft = pairs("llama"), pairs("llama", 1)
    for main, small, tensor in (
        (pair.theirs, draft.theirs, torch.tensor),
        (pair.ours, draft.ours, paddle.to_tensor),
    ):
        two = tensor(np.repeat(REPEATING, 2, 0))
        with pytest.raises(ValueError, match="batch_size = 1"):
            main.generate(two, assistant_model=small, max_new_tokens=3)
        with pytest.raises(ValueError, match="num_return_sequences has to be 1"):
            main.generate(
                tensor(REPEATING), assistant_model=small, do_sample=True, num_return_sequences=2
            )
        cache = main.generate(
            tensor(REPEATING), max_new_tokens=2, return_dict_in_generate=True
        ).past_key_values
        with pytest.raises(ValueError, match="cache_implementation"):
            main.generate(tensor(REPEATING), past_key_values=cache, cache_implementation="static")
        main.generation_config.bos_token_id = None
        try:
            with pytest.raises(ValueError, match="bos_token_id"):
                main.generate(max_new_tokens=2)
        finally:
            main.generation_config.bos_token_id = 1


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive-search"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5}, "group-beam-search"),
        ({"num_beams": 4, "force_words_ids": [[5]]}, "constrained-beam-search"),
        ({"dola_layers": "low"}, "dola"),
        ({"custom_generate": "someone/loop"}, "downloads no code"),
        ({"cache_implementation": "paged"}, "continuous batching"),
        ({"cache_implementation": "quantized"}, "quantized"),
        ({"cache_implementation": "offloaded"}, "offloaded"),
        ({"cache_implementation": "offloaded_static"}, "offloaded_static"),
        ({"token_healing": True}, "token_healing"),
        ({"assistant_early_exit": 1}, "assistant_early_exit"),
        ({"use_mtp": True}, "use_mtp"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_what_hfpaddle_lacks_is_said(pairs, kwargs, message):
    with pytest.raises(UnsupportedArgumentError, match=message):
        pairs("llama").ours.generate(paddle.to_tensor(REPEATING), max_new_tokens=3, **kwargs)


def test_custom_loop(pairs):
    def loop(
        model, input_ids, logits_processor, stopping_criteria, generation_config, extra=0, **kw
    ):
        return input_ids + extra + generation_config.max_length

    pair = pairs("llama")
    kwargs = {"custom_generate": loop, "extra": 5, "max_new_tokens": 3}
    got, want = both(pair, REPEATING, **kwargs)
    assert got.tolist() == want.tolist()


def caught(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return {str(w.message)[:60] for w in found if issubclass(w.category, UserWarning)}


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"max_new_tokens": 2},
        {"max_new_tokens": 2, "min_length": 40},
        {"max_new_tokens": 2, "min_new_tokens": 4},
        {"max_length": 15},
    ],
    ids=str,
)
def test_warnings(pairs, kwargs):
    pair = pairs("llama")
    got = caught(lambda: pair.ours.generate(paddle.to_tensor(REPEATING), **kwargs))
    want = caught(lambda: pair.theirs.generate(torch.tensor(REPEATING), **kwargs))
    assert got == want


def test_right_padding_is_reported(pairs, caplog):
    ids = random_ids(2, 6)
    ids[0, -2:] = 0
    with caplog.at_level("WARNING", logger="hfpaddle"):
        pairs("llama").ours.generate(paddle.to_tensor(ids), max_new_tokens=2)
    assert "right-padding was detected" in caplog.text


def test_gradients_are_off_and_come_back(pairs):
    model, ids = pairs("llama").ours, paddle.to_tensor(REPEATING)
    seen = []

    def watch(ids, scores):
        seen.append(scores.stop_gradient)
        return scores

    for kwargs in ({}, {"assistant_model": pairs("llama", 1).ours}, {"max_length": 3}):
        try:
            model.generate(ids, logits_processor=[watch], **kwargs)
        except ValueError:
            assert "max_length" in kwargs
        assert not model(ids).logits.stop_gradient
    assert len(seen) > 20 and all(seen)


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_encoder_outputs_are_left_alone(pairs, name):
    pair = pairs(name)
    ids = paddle.to_tensor(random_ids(1, 6))
    outputs = pair.ours.get_encoder()(input_ids=ids)
    want = pair.ours.generate(ids, num_beams=3, max_new_tokens=5).tolist()
    for _ in range(2):
        got = pair.ours.generate(encoder_outputs=outputs, num_beams=3, max_new_tokens=5)
        assert got.tolist() == want
    assert outputs.last_hidden_state.shape[0] == 1
