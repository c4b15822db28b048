"""Untouched scripts print the same on torch and under ``hfpaddle run``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import example_fixtures
import numpy as np
import pytest
import torch
from adapter_pairs import read_folder

HERE = Path(__file__).parent


def run(script: str, place: Path, further: list, world: str) -> str:
    """Run a script that writes into ``place / world``. Returns what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["HF_DATASETS_CACHE"] = str(place / f"cache-{world}")
    before = ["-m", "hfpaddle", "run"] if world == "paddle" else []
    command = [sys.executable, "-W", "ignore", *before, HERE / script, *further, place / world]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return "\n".join(line for line in done.stdout.splitlines() if "runtime" not in line)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("scripts")
    torch.manual_seed(0)
    text = example_fixtures.write_text(place)
    example_fixtures.write_llama(place / "llama", text)
    example_fixtures.write_chats(place, 40)
    return place


SCRIPTS = {
    "script_lora.py": ([], "epoch 2"),
    "script_accelerated.py": ([], "epoch 2"),
    "script_alpaca.py": (["llama", "alpaca"], "eval_loss"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script, place, tmp_path):
    folders, said = SCRIPTS[script]
    further = [place / name for name in folders]
    printed = {world: run(script, tmp_path, further, world) for world in ("torch", "paddle")}
    assert printed["paddle"] == printed["torch"] and said in printed["torch"]
    (ours, tensors), (theirs, wanted) = (read_folder(tmp_path / n) for n in ("paddle", "torch"))
    assert ours == theirs and tensors.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(tensors[name], value, atol=1e-4, err_msg=name)
