"""A run killed with -9 again and again ends with the losses and weights of one left alone.

HFPADDLE_TEST_KILLS says how many kills (3 without it).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import crash_script
import numpy as np
import pytest
import trainer_samples

KILLS = int(os.environ.get("HFPADDLE_TEST_KILLS", "3"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
ENVIRONMENT["FLAGS_cpu_deterministic"] = "1"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return trainer_samples.write_checkpoints(tmp_path_factory.mktemp("checkpoints"))


def start(folder: Path, output: Path) -> subprocess.Popen:
    command = [sys.executable, "-W", "ignore", crash_script.__file__, folder, output]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-4000:]


def saved(output: Path) -> int:
    steps = [int(p.name.split("-")[1]) for p in output.glob("checkpoint-*")]
    return max(steps, default=0)


def kill_after(process: subprocess.Popen, output: Path, step: int, delay: float) -> bool:
    """Kill ``process`` a moment after it saved ``step``; False if it ended before."""
    while process.poll() is None:
        if saved(output) >= step:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return process.returncode == -signal.SIGKILL
        time.sleep(0.002)
    finish(process)
    return False


def test_killed_runs_end_alike(checkpoints, tmp_path):
    finish(start(checkpoints, tmp_path / "whole"))
    want = dict(np.load(tmp_path / "whole" / "done.npz"))
    last = int(want["losses"][-1][0])
    chance = random.Random(5)
    output, killed = tmp_path / "killed", 0
    for number in range(KILLS):
        step = saved(output) + chance.randint(0 if number else 1, max(1, last // (KILLS + 1)))
        killed += kill_after(start(checkpoints, output), output, step, chance.random() * 0.05)
    assert killed == KILLS
    finish(start(checkpoints, output))
    got = dict(np.load(output / "done.npz"))
    np.testing.assert_array_equal(got.pop("losses"), want.pop("losses"))
    assert set(got) == set(want)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    assert len(list(output.glob("checkpoint-*"))) == 3
    assert not list(output.glob(".checkpoint-*"))
