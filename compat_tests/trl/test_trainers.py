"""The trainers prepare the same data and log the same at every step as trl's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_trl
import trl_samples

RTOL = 1e-4
# Differences of log-probabilities of about 50, and means of logits of either sign over a vocabulary
# are known to the digits that float32 has of what they are made of.
CANCELLING = ("rewards/", "logits/")
UNCOMPARED = ("runtime", "per_second", "total_flos")


def run(world: str, folder: Path, out: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment |= {"HF_DATASETS_CACHE": str(out.parent / f"cache-{world}"), "CI": "1"}
    command = [sys.executable, "-W", "ignore", run_trl.__file__, world, folder, out]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = trl_samples.write_llama(tmp_path_factory.mktemp("model") / "llama")
    trl_samples.write_mixtral(folder.parent / "mixtral")
    place = tmp_path_factory.mktemp("runs")
    return [run(world, folder, place / f"{world}.json") for world in ("torch", "paddle")]


def approximate(name: str, value):
    return pytest.approx(value, rel=RTOL, abs=5e-6 if any(c in name for c in CANCELLING) else 1e-9)


def compared(entry: dict) -> dict:
    return {k: v for k, v in entry.items() if not any(part in k for part in UNCOMPARED)}


@pytest.mark.parametrize("case", run_trl.CASES)
def test_prepared_data(results, case):
    want, got = (r[case]["data"] for r in results)
    references = [name for name in want["features"] or () if name.startswith("ref_")]
    assert bool(references) == ("precomputed" in case)
    for name in references:
        assert got["rows"].pop(name) == pytest.approx(want["rows"].pop(name), rel=RTOL)
    assert got["rows"] == want["rows"]
    assert got["features"] == want["features"]


@pytest.mark.parametrize("case", run_trl.CASES)
def test_logs_of_every_step(results, case):
    want, got = ([compared(e) for e in r[case]["log"]] for r in results)
    assert sum("num_tokens" in entry for entry in want) >= 2
    assert len(got) == len(want)
    for expected, actual in zip(want, got, strict=True):
        assert actual == {name: approximate(name, value) for name, value in expected.items()}


@pytest.mark.parametrize("case", ["text", "lora"])
def test_saved_files(results, case):
    want, got = (set(r[case]["files"]) for r in results)
    assert {f for f in want if f.endswith(".safetensors")} <= got
