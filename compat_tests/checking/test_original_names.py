"""The names that `hfpaddle check` knows of the originals are those of the originals."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import make_original_names


def test_the_generated_file_is_current():
    assert make_original_names.TARGET.read_text(encoding="utf-8") == make_original_names.text()
