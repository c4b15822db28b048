"""Scripts as users write them, untouched, give on Paddle the losses they give on torch.

Each script beside this file runs twice: under the interpreter of these tests, with the original
libraries, and under ``python -m hfpaddle run`` in the environment that has no torch.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import example_fixtures
import pytest

HERE = Path(__file__).parent
WITHOUT_TORCH = HERE.parents[1] / ".venv" / "bin" / "python"
MODELS = {
    "hand_loop": "bert",
    "trainer_metrics": "bert",
    "accelerate_loop": "gpt2",
    "seq2seq_trainer": "t5",
    "custom_model": "bert",
    "masked_lm": "bert",
}
RELATIVE = 1e-4


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    data = folder / "data"
    data.mkdir()
    text = example_fixtures.write_text(data)
    import torch

    torch.manual_seed(0)
    example_fixtures.write_gpt2(folder / "gpt2", text)
    example_fixtures.write_bert(folder / "bert", text)
    example_fixtures.write_t5(folder / "t5", folder / "bert")
    draw = random.Random(2)
    rows = []
    for _ in range(28):
        first, label = example_fixtures.sentence(draw), draw.randint(0, 1)
        second = f"It is said: {first}" if label else example_fixtures.sentence(draw)
        rows.append({"sentence1": first, "sentence2": second, "label": label})
    (folder / "pairs.json").write_text(json.dumps(rows))
    return folder


def run(start: list[str], script: str, places: Path, name: str) -> dict:
    """Run ``script`` with the command that begins with ``start``; return what it wrote."""
    out = places / f"{script}.{name}.json"
    data = str(places / "pairs.json")
    command = [*start, str(HERE / f"{script}.py"), str(places / MODELS[script]), data, str(out)]
    environment = {
        **os.environ,
        "HF_HOME": str(places / f"home.{name}"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


def test_the_second_interpreter_has_no_torch():
    code = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('accelerate'))"
    done = subprocess.run([WITHOUT_TORCH, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "None"]


@pytest.mark.parametrize("script", MODELS)
def test_script_gives_the_same_numbers(script, places):
    reference = run([sys.executable], script, places, "torch")
    ours = run([str(WITHOUT_TORCH), "-m", "hfpaddle", "run"], script, places, "paddle")
    assert ours.keys() == reference.keys()
    assert ours.pop("exact") == reference.pop("exact")
    for name, wanted in reference.items():
        assert len(ours[name]) == len(wanted) > 0, name
        for step, (value, expected) in enumerate(zip(ours[name], wanted, strict=True)):
            where = f"{name}[{step}]: {value} against {expected}"
            assert math.isclose(value, expected, rel_tol=RELATIVE, abs_tol=1e-7), where
