"""Training adapters with the Trainer logs the same at every step in both libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_adapters
import trainer_samples
from safetensors.numpy import load_file

RTOL = 1e-4
UNCOMPARED = ("runtime", "per_second", "preparation", "total_flos")


def run(world: str, folder: Path, out: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", run_adapters.__file__, world, folder, out]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = trainer_samples.write_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    place = tmp_path_factory.mktemp("runs")
    return (*(run(w, folder, place / f"{w}.json") for w in ("torch", "paddle")), place)


def compared(entry: dict) -> dict:
    return {k: v for k, v in entry.items() if not any(part in k for part in UNCOMPARED)}


@pytest.mark.parametrize("case", [c for c in run_adapters.CASES if c != "packed"])
def test_logs_of_every_step(results, case):
    want, got = ([compared(e) for e in r[case]["log"]] for r in results[:2])
    assert sum("loss" in entry for entry in want) >= 3
    assert len(got) == len(want)
    for expected, actual in zip(want, got, strict=True):
        assert actual == pytest.approx(expected, rel=RTOL, abs=1e-9)


@pytest.mark.parametrize("case", run_adapters.CASES)
def test_what_is_saved_is_the_adapter(results, case):
    theirs, ours = (results[2] / f"{world}-{case}" / "final" for world in ("torch", "paddle"))
    theirs, ours = (load_file(p / "adapter_model.safetensors") for p in (theirs, ours))
    assert ours.keys() == theirs.keys()
    assert not (results[2] / f"paddle-{case}" / "final" / "model.safetensors").exists()


def test_packed_losses_are_the_padded_ones(results):
    padded, packed = ([compared(e) for e in results[1][c]["log"]] for c in ("padded", "packed"))
    steps = [entry for entry in padded if "loss" in entry]
    assert len(steps) > 10
    for expected, actual in zip(steps, packed, strict=False):
        assert actual == pytest.approx(expected, rel=RTOL)
