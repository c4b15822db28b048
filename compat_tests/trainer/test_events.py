"""Callbacks see the same events in the same order; a run leaves the same record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import record_events
import trainer_samples

RTOL = 1e-4
# What a clock says, and where the run was.
UNCOMPARED = ("runtime", "per_second", "preparation", "best_model_checkpoint")


def run(world: str, folder: Path, out: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", record_events.__file__, world, folder, out]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = trainer_samples.write_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    place = tmp_path_factory.mktemp("runs")
    return tuple(run(w, folder, place / f"{w}.json") for w in ("torch", "paddle"))


def same(want, got, where: str) -> None:
    """Assert that nested records agree, numbers within RTOL; clocks and paths need only exist."""
    if isinstance(want, dict):
        assert list(want) == list(got), where
        for key in want:
            if not any(part in key for part in UNCOMPARED):
                same(want[key], got[key], f"{where}.{key}")
    elif isinstance(want, list):
        assert len(want) == len(got), where
        for i, (a, b) in enumerate(zip(want, got, strict=True)):
            same(a, b, f"{where}[{i}]")
    elif isinstance(want, float):
        assert got == pytest.approx(want, rel=RTOL, abs=1e-9), where
    else:
        assert got == want, where


@pytest.mark.parametrize("case", record_events.CASES)
@pytest.mark.parametrize("part", ["events", "log", "state", "folders", "output"])
def test_a_run_is_recorded_alike(results, case, part):
    want, got = (r[case][part] for r in results)
    if part == "events":
        assert [e[0] for e in got] == [e[0] for e in want]
    same(want, got, case)
