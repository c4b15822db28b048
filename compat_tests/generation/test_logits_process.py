"""Every processor against the original's: same scores in, same scores out, same refusals."""

import numpy as np
import paddle
import pytest
import torch
import transformers
from transformers.generation import logits_process as theirs

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.generation import logits_process as ours

V, B, S = 700, 4, 11
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 40, (B, S))
IDS[:, -3:] = IDS[:, :3]  # an n-gram to repeat
SCORES = (RNG.standard_normal((B, V)) * 3).astype("float32")
MASKED = np.where(RNG.random((B, V)) < 0.3, -np.inf, SCORES).astype("float32")
TIED = np.round(SCORES).astype("float32")
PEAKED = SCORES.copy()
PEAKED[:, 7] = 60.0
WILD = SCORES.copy()
WILD[0, :3] = np.nan, np.inf, -np.inf
INPUTS = {"plain": SCORES, "masked": MASKED, "tied": TIED, "peaked": PEAKED}


def tensors(value, tensor):
    """Turn arrays among arguments into tensors of either library."""
    return tensor(value) if isinstance(value, np.ndarray) else value


def run(name, args, kwargs, scores=SCORES, ids=IDS):
    """Return both results as arrays, and check that the inputs were left alone."""
    out = []
    for module, tensor in ((ours, paddle.to_tensor), (theirs, torch.tensor)):
        make = getattr(module, name)
        processor = make(
            *[tensors(a, tensor) for a in args],
            **{k: tensors(v, tensor) for k, v in kwargs.items()},
        )
        given = tensor(scores)
        out.append(processor(tensor(ids), given).numpy())
        np.testing.assert_array_equal(given.numpy(), scores)
    return out


def same(got, want):
    """The same entries are removed, and the rest agree to rounding."""
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


WARPERS = [
    ("TemperatureLogitsWarper", (0.7,), {}),
    ("TemperatureLogitsWarper", (1.9,), {}),
    ("TopKLogitsWarper", (5,), {}),
    ("TopKLogitsWarper", (5,), {"min_tokens_to_keep": 9}),
    ("TopKLogitsWarper", (V + 10,), {"filter_value": -9.0}),
    *[("TopPLogitsWarper", (p,), {}) for p in (0.0, 0.1, 0.5, 0.9, 0.999, 1.0)],
    ("TopPLogitsWarper", (0.3,), {"min_tokens_to_keep": 4, "filter_value": -7.0}),
    *[("MinPLogitsWarper", (p,), {}) for p in (0.0, 0.05, 0.5, 1.0)],
    ("MinPLogitsWarper", (0.9,), {"min_tokens_to_keep": 3}),
    *[("TopHLogitsWarper", (h,), {}) for h in (0.2, 0.5, 0.9)],
    *[("TypicalLogitsWarper", (m,), {}) for m in (0.2, 0.9, 0.999)],
    ("TypicalLogitsWarper", (0.01,), {"min_tokens_to_keep": 4}),
    *[("EpsilonLogitsWarper", (e,), {}) for e in (1e-4, 0.01, 0.5)],
    ("EpsilonLogitsWarper", (0.5,), {"min_tokens_to_keep": 3}),
    *[("EtaLogitsWarper", (e,), {}) for e in (1e-4, 0.01, 0.5)],
    ("EtaLogitsWarper", (0.5,), {"min_tokens_to_keep": 3}),
    ("LogitNormalization", (), {}),
]


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name, args, kwargs", WARPERS, ids=lambda x: str(x))
def test_warpers(name, args, kwargs, kind):
    same(*run(name, args, kwargs, INPUTS[kind]))


BIAS = {(5,): -2.5, (7, 8): 3.0, (11, *IDS[0, -2:].tolist()): 1.5, (int(IDS[1, -1]), 9): -1.0}
BIAS |= {(int(IDS[0, -1]), 9): 0.25, (int(IDS[0, -2]), int(IDS[0, -1]), 9): 4.0, (1,) * 20: 1.0}
TOKENS = [
    ("MinLengthLogitsProcessor", (S + 1, 3), {}),
    ("MinLengthLogitsProcessor", (S, [3, 5]), {}),
    ("MinNewTokensLengthLogitsProcessor", (4, 8, [3, 5]), {}),
    ("MinNewTokensLengthLogitsProcessor", (4, 7, 3), {}),
    ("RepetitionPenaltyLogitsProcessor", (1.7,), {}),
    ("RepetitionPenaltyLogitsProcessor", (0.6,), {"prompt_ignore_length": 8}),
    ("RepetitionPenaltyLogitsProcessor", (1.3,), {"prompt_ignore_length": S}),
    ("RepetitionPenaltyLogitsProcessor", (1.7, np.array([0, 3, 11, 5])), {}),
    ("EncoderRepetitionPenaltyLogitsProcessor", (1.7, IDS[:2]), {}),
    ("EncoderRepetitionPenaltyLogitsProcessor", (0.7, IDS), {}),
    *[("NoRepeatNGramLogitsProcessor", (n,), {}) for n in (1, 2, 3, 4, S, S + 1)],
    *[("EncoderNoRepeatNGramLogitsProcessor", (n, IDS[:2]), {}) for n in (1, 2, 3)],
    ("EncoderNoRepeatNGramLogitsProcessor", (2, IDS[0]), {}),
    ("SequenceBiasLogitsProcessor", (BIAS,), {}),
    ("SequenceBiasLogitsProcessor", ([[list(k), v] for k, v in BIAS.items()],), {}),
    ("NoBadWordsLogitsProcessor", ([[5], [7, 8], IDS[2, -1:].tolist() + [4], [2]],), {}),
    ("NoBadWordsLogitsProcessor", ([[5], [2], [6, 2]], 2), {}),
    ("NoBadWordsLogitsProcessor", ([[5], [2], [6, 2]], [5, 2, 1]), {}),
    ("ForcedEOSTokenLogitsProcessor", (S + 1, 3), {}),
    ("ForcedEOSTokenLogitsProcessor", (S + 1, [3, 5]), {}),
    ("ForcedEOSTokenLogitsProcessor", (S + 2, 3), {}),
    ("ForcedBOSTokenLogitsProcessor", (4,), {}),
    ("ExponentialDecayLengthPenalty", ((3, 1.15), [3, 5], 4), {}),
    ("ExponentialDecayLengthPenalty", ((30, 1.15), 3, 4), {}),
    ("SuppressTokensAtBeginLogitsProcessor", ([1, 2, 699], S), {}),
    ("SuppressTokensAtBeginLogitsProcessor", ([1, 2], S - 1), {}),
    ("SuppressTokensLogitsProcessor", ([1, 2, 699],), {}),
    ("InfNanRemoveLogitsProcessor", (), {}),
]


@pytest.mark.parametrize("kind", ["plain", "masked"])
@pytest.mark.parametrize("name, args, kwargs", TOKENS, ids=lambda x: str(x)[:60])
def test_token_processors(name, args, kwargs, kind):
    same(*run(name, args, kwargs, INPUTS[kind]))


def test_forced_bos_on_the_first_token():
    same(*run("ForcedBOSTokenLogitsProcessor", (4,), {}, ids=IDS[:, :1]))


def test_nan_and_infinities_are_replaced():
    got, want = run("InfNanRemoveLogitsProcessor", (), {}, WILD)
    np.testing.assert_array_equal(got, want)


def test_ids_beyond_the_vocabulary():
    ids = IDS.copy()
    ids[:, 2] = V + 5
    ids[:, 5] = V
    same(*run("RepetitionPenaltyLogitsProcessor", (1.7,), {}, ids=ids))
    same(*run("NoRepeatNGramLogitsProcessor", (2,), {}, ids=ids))


def test_prefix_constraint():
    def allowed(sample, ids):
        assert ids.shape[0] == S
        return [sample, 5, int(ids[-1])] if sample else [9]

    for scores in (SCORES, np.where(np.arange(V) == 9, -np.inf, SCORES).astype("float32")):
        same(*run("PrefixConstrainedLogitsProcessor", (allowed, 2), {}, scores))
    for module, tensor in ((ours, paddle.to_tensor), (theirs, torch.tensor)):
        processor = module.PrefixConstrainedLogitsProcessor(lambda i, ids: [], 1)
        with pytest.raises(ValueError, match="empty list"):
            processor(tensor(IDS), tensor(SCORES))


def test_classifier_free_guidance():
    scores = np.concatenate([SCORES, SCORES[::-1] * 2])
    same(*run("ClassifierFreeGuidanceLogitsProcessor", (1.5,), {}, scores))
    for module, tensor in ((ours, paddle.to_tensor), (theirs, torch.tensor)):
        processor = module.ClassifierFreeGuidanceLogitsProcessor(1.5)
        with pytest.raises(ValueError, match="twice the batch size"):
            processor(tensor(IDS), tensor(SCORES))


@pytest.mark.parametrize("scheme, width", [("lefthash", 1), ("selfhash", 3), ("selfhash", 1)])
def test_watermark(scheme, width):
    kwargs = {"seeding_scheme": scheme, "context_width": width, "bias": 2.5}
    same(*run("WatermarkLogitsProcessor", (V, "cpu"), kwargs))


REFUSED = [
    ("TemperatureLogitsWarper", (0.0,)),
    ("TemperatureLogitsWarper", (1,)),
    ("TopKLogitsWarper", (0,)),
    ("TopKLogitsWarper", (2.5,)),
    ("TopPLogitsWarper", (1.1,)),
    ("TopPLogitsWarper", (0.5, -9.0, 0)),
    ("TopHLogitsWarper", (0.0,)),
    ("MinPLogitsWarper", (1.5,)),
    ("MinPLogitsWarper", (0.5, -9.0, 0)),
    ("TypicalLogitsWarper", (1.0,)),
    ("TypicalLogitsWarper", (0.5, -9.0, 0)),
    ("EpsilonLogitsWarper", (0.0,)),
    ("EpsilonLogitsWarper", (0.5, -9.0, 0)),
    ("EtaLogitsWarper", (1.0,)),
    ("MinLengthLogitsProcessor", (-1, 3)),
    ("MinLengthLogitsProcessor", (1.5, 3)),
    ("MinNewTokensLengthLogitsProcessor", (-1, 3, 3)),
    ("MinNewTokensLengthLogitsProcessor", (1, -3, 3)),
    ("RepetitionPenaltyLogitsProcessor", (0.0,)),
    ("RepetitionPenaltyLogitsProcessor", (2,)),
    ("RepetitionPenaltyLogitsProcessor", (1.2, -1)),
    ("RepetitionPenaltyLogitsProcessor", (1.2, IDS)),
    ("EncoderRepetitionPenaltyLogitsProcessor", (-1.0, IDS)),
    ("NoRepeatNGramLogitsProcessor", (0,)),
    ("EncoderNoRepeatNGramLogitsProcessor", (0, IDS)),
    ("SequenceBiasLogitsProcessor", ({},)),
    ("SequenceBiasLogitsProcessor", ({5: 1.0},)),
    ("SequenceBiasLogitsProcessor", ({(5,): 1},)),
    ("SequenceBiasLogitsProcessor", ({(): 1.0},)),
    ("SequenceBiasLogitsProcessor", ({(-1,): 1.0},)),
    ("SequenceBiasLogitsProcessor", ([[[5], 1]],)),
    ("SequenceBiasLogitsProcessor", ([[5, 1.0]],)),
    ("NoBadWordsLogitsProcessor", ([],)),
    ("NoBadWordsLogitsProcessor", ([5],)),
    ("NoBadWordsLogitsProcessor", ([[-5]],)),
    ("ForcedEOSTokenLogitsProcessor", (5, -1)),
    ("ForcedEOSTokenLogitsProcessor", (5, [1.5])),
    ("ExponentialDecayLengthPenalty", ((3, 1.1), -1, 4)),
    ("ClassifierFreeGuidanceLogitsProcessor", (1.0,)),
    ("WatermarkLogitsProcessor", (V, "cpu", 1.0)),
    ("WatermarkLogitsProcessor", (V, "cpu", 0.5, 2.0, 3, "righthash")),
]


@pytest.mark.parametrize("name, args", REFUSED, ids=lambda x: str(x)[:60])
def test_refusals(name, args):
    for module, tensor in ((ours, paddle.to_tensor), (theirs, torch.tensor)):
        with pytest.raises(ValueError):
            getattr(module, name)(*[tensors(a, tensor) for a in args])


def test_bias_beyond_the_vocabulary():
    for module, tensor in ((ours, paddle.to_tensor), (theirs, torch.tensor)):
        processor = module.SequenceBiasLogitsProcessor({(V,): 1.0})
        with pytest.raises(ValueError, match="vocabulary size"):
            processor(tensor(IDS), tensor(SCORES))


def test_list_takes_functions_and_further_arguments():
    def add(ids, scores, amount):
        return scores + amount

    out = []
    for module, tensor in ((ours, paddle.to_tensor), (theirs, torch.tensor)):

        class Add(module.LogitsProcessor):
            def __call__(self, input_ids, scores, amount):
                return scores + amount

        both = module.LogitsProcessorList([module.TopKLogitsWarper(3), Add()])
        out.append(both(tensor(IDS), tensor(SCORES), amount=2.0).numpy())
        with pytest.raises(ValueError, match="required parameters"):
            both(tensor(IDS), tensor(SCORES))
        plain = module.LogitsProcessorList([lambda ids, scores: scores * 2])
        np.testing.assert_array_equal(plain(tensor(IDS), tensor(SCORES)).numpy(), SCORES * 2)
    np.testing.assert_array_equal(*out)
    np.testing.assert_array_equal(
        ours.LogitsProcessorList([add])(
            paddle.to_tensor(IDS), paddle.to_tensor(SCORES), amount=1.0
        ).numpy(),
        SCORES + np.float32(1.0),
    )


def test_large_vocabulary():
    """Sums over 200000 tokens stay exact enough for the original's choices."""
    rng = np.random.default_rng(3)
    scores = (rng.standard_normal((2, 200_000)) * 2).astype("float32")
    ids = IDS[:2]
    np.testing.assert_allclose(*run("LogitNormalization", (), {}, scores, ids), rtol=0, atol=2e-5)
    for name, arg in (("TopPLogitsWarper", 0.8), ("TypicalLogitsWarper", 0.6)):
        got, want = run(name, (arg,), {}, scores, ids)
        # A token may fall on either side of a cutoff that rounding moves by one float.
        assert np.count_nonzero(np.isneginf(got) != np.isneginf(want)) <= 4


@pytest.mark.parametrize("kind", INPUTS)
def test_top_h_of_one(kind):
    """The limit is the sum itself, so rounding decides whether the last token of 100 stays."""
    got, want = run("TopHLogitsWarper", (1.0,), {}, INPUTS[kind])
    assert (np.count_nonzero(np.isneginf(got) != np.isneginf(want), axis=1) <= 1).all()


def test_every_text_processor_is_there():
    missing = {
        name
        for name in transformers.generation._import_structure["logits_process"]
        if not hasattr(ours, name)
    }
    assert missing == {"AlternatingCodebooksLogitsProcessor", "WhisperTimeStampLogitsProcessor"}
    with pytest.raises(UnsupportedArgumentError, match="WatermarkLogitsProcessor"):
        ours.SynthIDTextWatermarkLogitsProcessor(5, [1], 2, 3, 4, "cpu")
