"""One training script under both libraries logs the same at every step.

`run_training.py` is the script; each library runs it in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_training
import trainer_samples

RTOL = 1e-4
# What a clock says, and accelerate's time to wrap a model.
UNCOMPARED = ("runtime", "per_second", "preparation")


def run(world: str, folder: Path, out: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", run_training.__file__, world, folder, out]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = trainer_samples.write_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    place = tmp_path_factory.mktemp("runs")
    return tuple(run(w, folder, place / f"{w}.json") for w in ("torch", "paddle"))


def compared(entry: dict) -> dict:
    return {k: v for k, v in entry.items() if not any(part in k for part in UNCOMPARED)}


@pytest.mark.parametrize("case", run_training.CASES)
def test_logs_of_every_step(results, case):
    want, got = ([compared(e) for e in r[case]["log"]] for r in results)
    assert sum("loss" in entry for entry in want) >= 3
    assert len(got) == len(want)
    for expected, actual in zip(want, got, strict=True):
        assert actual == pytest.approx(expected, rel=RTOL, abs=1e-9)


@pytest.mark.parametrize("case", run_training.CASES)
def test_files_of_a_run(results, case):
    want, got = (r[case]["files"] for r in results)
    assert got == want


def test_packed_losses_are_the_padded_ones(results):
    """Rows of one batch joined into one: every loss and norm is that of the padded batch."""
    padded, packed = ([compared(e) for e in results[1][c]["log"]] for c in ("padded", "packed"))
    steps = [entry for entry in padded if "loss" in entry]
    assert len(steps) > 10
    for expected, actual in zip(steps, packed, strict=False):
        assert actual == pytest.approx(expected, rel=RTOL)
