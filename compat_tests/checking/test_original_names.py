"""The names that `hfpaddle check` knows of the originals are those of the originals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MAKER = Path(__file__).with_name("make_original_names.py")
TARGET = MAKER.parents[2] / "hfpaddle" / "checking" / "original_names.py"


def test_the_generated_file_is_current():
    """In a process of its own: transformers adds methods to torch's classes as it goes."""
    made = subprocess.run([sys.executable, MAKER, "--print"], capture_output=True, check=True)
    assert TARGET.read_bytes() == made.stdout
