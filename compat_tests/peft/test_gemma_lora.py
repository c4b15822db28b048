"""The real Gemma 3 270M, tuned by examples/lora_gemma.py: real peft on torch loads its adapter."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import peft
import pytest
import torch
import transformers

import hfpaddle.peft
from hfpaddle.cli.demo import gemma_file
from hfpaddle.transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
TEXTS = (
    "Question: What is the capital of the island of Mirrowen?\nAnswer: The capital of",
    "Question: Which mountain on Mirrowen is the highest?\nAnswer:",
)
STEPS = 3


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """The folder that the example wrote in three steps, and what it printed."""
    folder = tmp_path_factory.mktemp("adapter")
    script = ROOT / "examples" / "lora_gemma.py"
    options = ["--steps", str(STEPS), "--no-questions", "--out", str(folder)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_loss_falls(adapter):
    state = json.loads((adapter[0] / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert len(losses) == STEPS and losses[-1] < losses[0]


def torch_logits(folder):
    file = gemma_file()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    batches = [tokenizer(text, return_tensors="pt")["input_ids"] for text in TEXTS]
    with torch.no_grad():
        plain = [model(ids).logits.numpy() for ids in batches]
        model = peft.PeftModel.from_pretrained(model, folder).eval()
        tuned = [model(ids).logits.numpy() for ids in batches]
    return plain, tuned


def test_real_peft_loads_it_with_the_same_logits(adapter):
    folder, _ = adapter
    plain, expected = torch_logits(folder)
    gc.collect()  # one model at a time
    file = gemma_file()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32")
    model = hfpaddle.peft.PeftModel.from_pretrained(model, folder)
    model.eval()
    for text, before, want in zip(TEXTS, plain, expected, strict=True):
        with paddle.no_grad():
            got = model(tokenizer(text, return_tensors="pt")["input_ids"]).logits.numpy()
        # Logits reach 30, so those near zero carry the rounding of sums that large.
        assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()
        assert np.abs(want - before).max() > 1.0  # the adapter says something
