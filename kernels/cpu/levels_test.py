"""The kernels' tests again, at each lower level of instruction sets that this processor has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hfpaddle.core.op import discover

discover("cpu")
pytest.importorskip("hfpaddle.kernels.cpu.norm", reason="the kernels were not built")
library = sys.modules["hfpaddle.kernels.cpu.library"]

pytestmark = pytest.mark.unit

OPS = ("cross_entropy", "experts", "gated", "norm", "optimizer", "rotary", "sampling")


def levels():
    return library.LEVELS[: library._load(library.FOLDER / "hfpaddle_cpu_generic.so").hf_level()]


@pytest.mark.parametrize("level", levels())
def test_lower_levels_pass_the_same_tests(level):
    files = [str(Path(__file__).parent / op) for op in OPS]
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-x", *files]
    variables = {**os.environ, "HFPADDLE_CPU_LEVEL": level}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
