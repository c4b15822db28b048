"""trl's own scripts, unmodified, run under the hook and log what they log on torch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trl_samples as samples

RTOL = 1e-4
FURTHER = "--use_cpu --report_to none --bf16 False --logging_steps 1 --max_steps 5".split()
SCRIPTS = {
    "sft": ("sft.py", "chat", ["--use_peft", "--lora_r", "4", "--lora_dropout", "0"]),
    "sft-packed": ("sft.py", "text", ["--packing", "--max_length", "24"]),
    "sft-config": ("sft.py", "chat", ["--config", "config.yaml"]),
    "dpo": ("dpo.py", "chat-preference", ["--no_remove_unused_columns", "--learning_rate", "1e-3"]),
    "grpo": (
        "grpo.py",
        "chat-completion",
        [
            *("--reward_funcs", "my_rewards.letters", "think_format_reward"),
            *"--num_generations 4 --max_completion_length 8 --learning_rate 1e-3".split(),
            *"--use_peft --lora_r 4 --beta 0.1 --steps_per_generation 2".split(),
            *"--eval_strategy steps --eval_steps 3".split(),
        ],
    ),
    "reward": ("reward.py", "chat-preference", ["--eval_strategy", "steps", "--eval_steps", "3"]),
}
UNCOMPARED = ("runtime", "per_second", "step_time")
LETTERS = """
def letters(completions, **kwargs):
    return [float(sum(turns[0]["content"].count(c) for c in "aeiou")) for turns in completions]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("scripts")
    samples.write_llama(place / "llama")
    for kind in {kind for _, kind, _ in SCRIPTS.values()}:
        (place / kind).mkdir()
        for split, count, seed in (("train", 22, 0), ("test", 6, 1)):
            rows = samples.rows(kind, count, seed)
            lines = "\n".join(json.dumps(row) for row in rows)
            (place / kind / f"{split}.jsonl").write_text(lines)
    (place / "config.yaml").write_text("assistant_only_loss: true\nlearning_rate: 0.003\n")
    (place / "my_rewards.py").write_text(LETTERS)
    return place


def logged(place: Path, case: str, world: str) -> list[dict]:
    """Run a script in ``place``. Returns what it logged."""
    script, kind, further = SCRIPTS[case]
    folder = Path(importlib.util.find_spec("trl").origin).parent / "scripts"
    out = place / f"{world}-{case}"
    hook = ["-m", "hfpaddle", "run"] if world == "paddle" else []
    command = [sys.executable, "-W", "ignore", *hook, folder / script, *FURTHER, *further]
    command += ["--model_name_or_path", place / "llama", "--dataset_name", place / kind]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CI": "1"}
    environment["HF_DATASETS_CACHE"] = str(place / f"cache-{world}")
    done = subprocess.run(
        [*command, "--output_dir", out], capture_output=True, env=environment, cwd=place, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Model saved to {out}" in done.stdout
    state = json.loads((out / "checkpoint-5" / "trainer_state.json").read_text())
    return [
        {k: v for k, v in entry.items() if not any(part in k for part in UNCOMPARED)}
        for entry in state["log_history"]
    ]


def room(case: str, name: str) -> float:
    """Return the absolute error of what is a small difference of larger numbers."""
    if case == "grpo":  # advantages of either sign add up to 0, and divergences are e^x - x - 1
        return 5e-7 if "loss" in name or "kl" in name else 1e-9
    return 5e-6 if "rewards/" in name or "logits/" in name else 1e-9


@pytest.mark.parametrize("case", SCRIPTS)
def test_scripts_log_the_same(place, case):
    want, got = (logged(place, case, world) for world in ("torch", "paddle"))
    assert sum("loss" in entry for entry in want) == 5
    for expected, actual in zip(want, got, strict=True):
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            limit = pytest.approx(value, rel=RTOL, abs=room(case, name))
            assert actual[name] == limit, name
