"""hfpaddle.torchvision gives what torchvision gives, each side in its own process.

vision_cases.py lists what is compared. Pillow images, integer tensors and values must be equal;
floating tensors to 1e-5; where the original raises, ours must raise the same built-in kind of
error.
Seeded sequences end with two more numbers of the stream, so a draw too many or too few shows.
The cases in TIES sum floats in another order than torch before they round to integers: there, one
pixel in a thousand may differ by one.
"""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from vision_cases import CASES  # noqa: E402 - beside this file, not installed

sys.path.remove(str(HERE))
ATOL = 1e-5
TIES = frozenset(
    {
        "F.resize BILINEAR antialias=False, uint8",
        *(f"{t}.GaussianBlur, {kind}" for t in ("T", "v2") for kind in ("picture", "uint8")),
    }
)


@cache
def results(side: str) -> dict[str, list[tuple]]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.pickle"
        subprocess.run(
            [sys.executable, "-W", "ignore", HERE / "evaluate.py", side, out],
            check=True,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        return pickle.loads(out.read_bytes())


def leaf_differs(theirs: tuple, ours: tuple, ties: bool) -> str | None:
    """Why two leaves are not the same, or None."""
    kind, what, value = theirs
    if kind == "error":
        builtin = [name for name in what if hasattr(builtins, name)]
        same = ours[0] == "error" and builtin[0] in ours[1]
        return None if same else f"torchvision raises {what[0]}: {value}; here {ours[:2]} {ours[2]}"
    if ours[0] == "error":
        return f"{kind} {what} expected; {ours[1][0]}: {ours[2]}"
    if (kind, what) != ours[:2]:
        return f"{kind} {what} expected; got {ours[:2]}"
    if kind == "value":
        return None if value == ours[2] else f"{value!r} expected; got {ours[2]!r}"
    if value.shape != ours[2].shape:
        return f"shape {value.shape} expected; got {ours[2].shape}"
    exact = kind == "image" or "float" not in what
    difference = np.abs(value.astype(np.float64) - ours[2].astype(np.float64))
    wrong = difference > (0 if exact else ATOL)
    if ties and exact and difference.max() <= 1 and wrong.mean() <= 1e-3:
        return None
    if wrong.any():
        return f"{wrong.sum()} of {wrong.size} values differ, by up to {difference.max()}"
    return None


def differs(theirs: list[tuple], ours: list[tuple], ties: bool = False) -> str | None:
    if "error" not in (theirs[0][0], ours[0][0]) and len(theirs) != len(ours):
        return f"{len(theirs)} results expected, got {len(ours)}"
    found = [leaf_differs(a, b, ties) for a, b in zip(theirs, ours, strict=False)]
    return next((why for why in found if why), None)


@pytest.mark.parametrize("case", CASES)
def test_case(case):
    ties = case in TIES
    assert differs(results("torchvision")[case], results("hfpaddle")[case], ties) is None


def test_every_exception_is_a_case():
    assert TIES <= set(CASES)


def main() -> None:
    """Print the cases that differ, and the score."""
    theirs, ours = results("torchvision"), results("hfpaddle")
    wrong = {name: differs(theirs[name], ours[name], name in TIES) for name in CASES}
    for name, why in wrong.items():
        if why:
            print(f"{name} | {why[:300]}")
    good = sum(why is None for why in wrong.values())
    print(f"{good} of {len(wrong)} agree with torchvision")


if __name__ == "__main__":
    main()
