"""hfpaddle.torch gives what torch gives for every snippet, each side in its own process.

cases.txt lists what scripts use; more_cases.txt goes deeper where numbers could differ.

A result is the same when type, dtype, shape and values agree: to 4 decimals, 3 for half types.
Where torch raises, hfpaddle.torch must raise the same built-in kind of error. The cases in
out_of_scope.txt (``group: name :: reason``) must raise an error that says so; those in
differences.txt are known to differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

HERE = Path(__file__).parent


FILES = ("cases.txt", "more_cases.txt", "script_cases.txt")


def read_names(file: str) -> list[str]:
    names, group = [], ""
    for line in (HERE / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            group = line[3:]
        elif line.strip():
            names.append(f"{group}: {line.split(' :: ', 1)[0]}")
    return names


def listed(file: str) -> dict[str, str]:
    """Cases of a list with their reasons."""
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    return dict(line.split(" :: ", 1) for line in lines if line.strip())


@cache
def results(side: str, file: str) -> dict[str, dict]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-W", "ignore", HERE / "evaluate.py", side]
        subprocess.run(
            [*command, HERE / file, out],
            check=True,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        records = json.loads(out.read_text(encoding="utf-8"))
    return {f"{record['group']}: {record['name']}": record for record in records}


def differs(theirs: dict, ours: dict) -> str | None:
    """Why the two records are not the same, or None."""
    if "error" in theirs:
        if "error" not in ours:
            return f"torch raises {theirs['error']}: {theirs['message']}; here {ours['value']}"
        same = theirs["error"] in (ours["error"], *ours["kinds"])
        return None if same else f"torch raises {theirs['error']}, here {ours['error']}"
    if "error" in ours:
        return f"{theirs['value']} expected; {ours['error']}: {ours['message']}"
    if theirs["value"] != ours["value"]:
        return f"{theirs['value']} expected; got {ours['value']}"
    return None


@pytest.mark.parametrize(
    ("file", "case"), [(file, case) for file in FILES for case in read_names(file)]
)
def test_case(file, case):
    ours = results("hfpaddle", file)[case]
    if case in listed("out_of_scope.txt"):
        assert ours.get("error") in ("MissingFeatureError", "UnsupportedArgumentError"), ours
        return
    difference = differs(results("torch", file)[case], ours)
    if case in listed("differences.txt"):
        assert difference is not None, "agrees by now: take it off the list"
    else:
        assert difference is None


@pytest.mark.parametrize("file", ["out_of_scope.txt", "differences.txt"])
def test_every_exception_is_a_case(file):
    assert set(listed(file)) <= {name for cases in FILES for name in read_names(cases)}
    assert all(reason.strip() for reason in listed(file).values())


def main() -> None:
    """Print the score of each file, and the cases that differ."""
    for file in FILES:
        theirs, ours = results("torch", file), results("hfpaddle", file)
        wrong = {name: differs(theirs[name], ours[name]) for name in theirs}
        wrong = {name: why for name, why in wrong.items() if why}
        for name, why in wrong.items():
            print(f"{name} | {why[:300]}")
        print(f"{file}: {len(theirs) - len(wrong)} of {len(theirs)} agree with torch")


if __name__ == "__main__":
    main()
