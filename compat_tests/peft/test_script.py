"""An untouched script prints the same on torch and under ``hfpaddle run``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from adapter_pairs import read_folder

SCRIPT = Path(__file__).with_name("script_lora.py")


def test_script(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    printed = {}
    for name, before in (("torch", []), ("paddle", ["-m", "hfpaddle", "run"])):
        command = [sys.executable, "-W", "ignore", *before, SCRIPT, tmp_path / name]
        done = subprocess.run(command, capture_output=True, env=environment, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        printed[name] = done.stdout
    assert printed["paddle"] == printed["torch"] and "epoch 2" in printed["torch"]
    (ours, tensors), (theirs, wanted) = (read_folder(tmp_path / n) for n in ("paddle", "torch"))
    assert ours == theirs and tensors.keys() == wanted.keys()
