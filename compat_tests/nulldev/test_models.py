"""Models on the null device: numbers, tokens and files of the CPU, and nothing leaves the device.

Checkpoints come from hfpaddle itself, so these tests need no reference library.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def families() -> list[str]:
    """Return the keys of models.FAMILIES, read without importing it (it imports Paddle)."""
    for node in ast.parse((HERE / "models.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FAMILIES":
            assert isinstance(node.value, ast.Dict)
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise AssertionError("models.py has no FAMILIES")


@pytest.mark.parametrize("default", ["nulldev:0", "cpu"])
@pytest.mark.parametrize("model_type", families())
def test_model_on_the_null_device(on_nulldev, tmp_path, model_type, default):
    on_nulldev("models.py", model_type, default, str(tmp_path))
