"""What scripts change of a Trainer changes the same numbers in both libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import custom_training
import pytest
import trainer_samples
from test_events import same


def run(world: str, folder: Path, out: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", custom_training.__file__, world, folder, out]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = trainer_samples.write_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    place = tmp_path_factory.mktemp("runs")
    return tuple(run(w, folder, place / f"{w}.json") for w in ("torch", "paddle"))


@pytest.mark.parametrize("case", [c.__name__ for c in custom_training.CASES])
def test_changed_trainers_agree(results, case):
    want, got = (r[case] for r in results)
    assert sum("loss" in entry for entry in want["log"]) >= 2
    same(want["log"], got["log"], case)
    same(want["noted"], got["noted"], case)
