"""The Trainer on the null device: logs, weights and checkpoints of the CPU."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def cases() -> list[str]:
    """Return the keys of training.CASES, read without importing it (it imports Paddle)."""
    for node in ast.parse((HERE / "training.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "CASES":
            assert isinstance(node.value, ast.Dict)
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise AssertionError("training.py has no CASES")


@pytest.mark.parametrize("case", cases())
def test_training_on_the_null_device(on_nulldev, tmp_path, case):
    on_nulldev("training.py", case, str(tmp_path))
