"""GRPO generates the same completions and logs the same at every step as trl's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_grpo

RTOL = 1e-4
UNCOMPARED = ("runtime", "per_second", "step_time", "total_flos")


def run(world: str, folder: Path, out: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment |= {"HF_DATASETS_CACHE": str(out.parent / f"cache-{world}"), "CI": "1"}
    command = [sys.executable, "-W", "ignore", run_grpo.__file__, world, folder, out]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = run_grpo.write(tmp_path_factory.mktemp("models"))
    place = tmp_path_factory.mktemp("runs")
    return [run(world, folder, place / f"{world}.json") for world in ("torch", "paddle")]


def compared(entry: dict) -> dict:
    return {k: v for k, v in entry.items() if not any(part in k for part in UNCOMPARED)}


def approximate(name: str, value):
    """Losses are sums of advantages of either sign; divergences are squares of small differences
    of scores, so what those are off by counts twice."""
    if value is None:
        return None
    rtol, small = (2 * RTOL if "kl" in name else RTOL), any(p in name for p in ("loss", "kl"))
    return pytest.approx(value, rel=rtol, abs=5e-7 if small else 1e-7)


@pytest.mark.parametrize("case", run_grpo.CASES)
def test_logs_of_every_step(results, case):
    want, got = ([compared(e) for e in r[case]["log"]] for r in results)
    assert sum("reward" in entry for entry in want) >= 2
    assert len(got) == len(want)
    for expected, actual in zip(want, got, strict=True):
        assert actual == {name: approximate(name, value) for name, value in expected.items()}


@pytest.mark.parametrize("case", ["off-policy", "delta", "beta", "entropy-quantile", "kind-vespo"])
def test_settings_take_effect(results, case):
    """What is compared above depends on the setting that the case is about."""
    logs = [[e["grad_norm"] for e in results[1][c]["log"] if "loss" in e] for c in (case, "stale")]
    assert logs[0] != logs[1]


def test_ratios_are_clipped(results):
    for case in ("kind-dapo", "sequence-grpo", "sequence-luspo"):
        entries = [e for e in results[1][case]["log"] if "loss" in e]
        assert sum(e["clip_ratio/region_mean"] for e in entries) > 0
    coefficients = [e["entropy_coef"] for e in results[1]["entropy-adaptive"]["log"] if "loss" in e]
    assert len(set(coefficients)) > 2


def test_tables_of_completions(results):
    want, got = (r["completions"]["completions"] for r in results)
    assert list(got) == list(want) and "vowels" in want
    for name, column in want.items():
        if name in ("vowels", "advantage"):
            wanted = {row: approximate(name, value) for row, value in column.items()}
            assert got[name] == wanted
        else:
            assert got[name] == column
