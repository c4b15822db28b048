"""Stopping criteria against the original's on the same ids, with a tokenizer of each kind."""

import time

import numpy as np
import paddle
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.generation import stopping_criteria as theirs

from hfpaddle.generation import stopping_criteria as ours

IDS = np.array([[5, 6, 7, 2], [5, 2, 7, 8], [5, 6, 7, 9]])
BOTH = ((ours, paddle.to_tensor), (theirs, torch.tensor))


def run(name, args, ids=IDS, scores=None, **kwargs):
    """Return both answers as lists of booleans."""
    out = []
    for module, tensor in BOTH:
        values = [tensor(a) if isinstance(a, np.ndarray) else a for a in args]
        given = None if scores is None else tuple(tensor(s) for s in scores)
        answer = getattr(module, name)(*values)(tensor(ids), given, **kwargs)
        out.append(np.asarray(answer).tolist())
    return out


@pytest.mark.parametrize(
    "name, args, kwargs",
    [
        ("MaxLengthCriteria", (4,), {}),
        ("MaxLengthCriteria", (5,), {}),
        ("MaxLengthCriteria", (9, 3), {}),
        ("MaxTimeCriteria", (100.0,), {}),
        ("MaxTimeCriteria", (0.5, time.time() - 1), {}),
        ("EosTokenCriteria", (2,), {}),
        ("EosTokenCriteria", ([9, 2],), {}),
        ("EosTokenCriteria", (np.array([8, 7]),), {}),
        ("EosTokenCriteria", (7,), {"new_token_length": 2}),
    ],
)
def test_criteria(name, args, kwargs):
    got, want = run(name, args, **kwargs)
    assert got == want


def test_confidence():
    scores = [np.random.default_rng(0).standard_normal((1, 30)).astype("float32") for _ in range(3)]
    for token in range(0, 30, 3):
        ids = np.array([[4, token]])
        for threshold in (0.01, 0.1):
            got, want = run("ConfidenceCriteria", (threshold,), ids, scores)
            assert got == want


def test_list_and_custom_members():
    answers = []
    for module, tensor in BOTH:

        class Odd(module.StoppingCriteria):
            def __call__(self, input_ids, scores, **kwargs):
                return input_ids[:, -1] % 2 == 1

        both = module.StoppingCriteriaList(
            [module.MaxLengthCriteria(9), module.EosTokenCriteria(2), Odd()]
        )
        assert both.max_length == 9
        answers.append(both(tensor(IDS), None).tolist())
        assert module.StoppingCriteriaList([lambda ids, scores: True])(tensor(IDS), None).all()
        assert module.StoppingCriteriaList().max_length is None
        assert len(module.validate_stopping_criteria(module.StoppingCriteriaList(), 11)) == 1
        with pytest.warns(UserWarning, match="different `max_length`"):
            module.validate_stopping_criteria(both, 5)
    assert answers[0] == answers[1] == [True, False, True]


TEXT = [
    "the cat sat on the mat.",
    "stop! stopping \u00fcber stop",
    "a\n\nUser: b",
    "\u4f60\u597d \U0001f600",
]


def byte_level():
    """Return a GPT-2-like tokenizer, trained on a few words."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<e>"]
    )
    raw.train_from_iterator(TEXT * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<e>")


def byte_fallback():
    """Return a Llama-2-like tokenizer: pieces with a space mark, and bytes for the rest."""
    words = ["<unk>", "<s>", *(f"<0x{b:02X}>" for b in range(256))]
    words += list("\u2581abcdefghijklmnopqrstuvwxyzU!.:") + ["st", "op", "stop", "\u2581stop"]
    merges = [("s", "t"), ("o", "p"), ("st", "op"), ("\u2581", "stop")]
    raw = Tokenizer(
        models.BPE(
            vocab={w: i for i, w in enumerate(words)},
            merges=merges,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    raw.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def word_piece():
    """Return a BERT-like tokenizer, which has no bytes."""
    words = [
        "[UNK]",
        "stop",
        "##ping",
        "##p",
        "sto",
        "abc",
        "##def",
        "the",
        "cat",
        "!",
        "user",
        ":",
    ]
    raw = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")


TOKENIZERS = {f.__name__: f() for f in (byte_level, byte_fallback, word_piece)}
STOPS = [
    "stop",
    ["stop!", "\n\nUser"],
    ["\u00fcber", "\u4f60\u597d", "\U0001f600"],
    "op",
    ["ing", "t s"],
]


@pytest.mark.parametrize("stops", STOPS, ids=str)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_stop_strings(kind, stops):
    tokenizer = TOKENIZERS[kind]
    rng = np.random.default_rng(1)
    try:
        want = theirs.StopStringCriteria(tokenizer, stops)
    except ValueError:
        with pytest.raises(ValueError, match="Stop string preprocessing"):
            ours.StopStringCriteria(tokenizer, stops)
        return
    got = ours.StopStringCriteria(tokenizer, stops)
    texts = [
        *TEXT,
        "stop",
        "stop!",
        "xstop",
        "stop x",
        "a\n\nUser",
        "\u00fcber",
        "the cat stop",
        "sto",
    ]
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    rows += [row[:-1] for row in rows if len(row) > 1]
    rows += [[*rng.integers(0, len(tokenizer), 4), *row] for row in rows]
    rows += rng.integers(0, len(tokenizer), (40, 6)).tolist()
    rows += [[len(tokenizer) + 50]]
    hits = 0
    for row in rows:
        ids = np.array([row, row[::-1]])
        answer = got(paddle.to_tensor(ids), None)
        assert answer.tolist() == want(torch.tensor(ids), None).tolist(), row
        hits += int(answer.numpy().any())
    assert hits > 0 or kind == "word_piece"


def test_stop_string_that_no_token_can_end():
    for module, _ in BOTH:
        with pytest.raises(ValueError, match="unusual characters"):
            module.StopStringCriteria(TOKENIZERS["word_piece"], "\u00e9")
