"""Run every check and test, go on after a failure, and end with one table: ``suite.py [lint]``.

Exit status is 0 only if every part passed. Reports of pytest are kept in reports/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "reports"
MAIN = ROOT / ".venv" / "bin"
COMPAT = ROOT / ".venv-compat" / "bin"


@dataclass
class Part:
    name: str
    command: list[str]

    @property
    def report(self) -> Path:
        return REPORTS / f"{self.name.replace(' ', '-')}.xml"


def pytest(name: str, python: Path, *arguments: str) -> Part:
    part = Part(name, [])
    part.command = [str(python / "python"), "-m", "pytest", "-q", "--durations=5"]
    part.command += [f"--junitxml={part.report}", *arguments]
    return part


LINT = [
    Part("ruff check", [str(MAIN / "ruff"), "check", "."]),
    Part("ruff format", [str(MAIN / "ruff"), "format", "--check", "."]),
    Part("pyright", [str(MAIN / "pyright")]),
    pytest("structure", MAIN, "hfpaddle/structure_test.py"),
]
# Code of our own must not notice that scripts have torch's methods on Paddle's tensors.
METHODS_ON = pytest("methods on", MAIN, "hfpaddle", "converters", "kernels")
METHODS_ON.command += [
    f"--ignore=hfpaddle/{name}"
    for name in ("structure_test.py", "wheel_test.py", "hook", "torch", "torchvision", "cli")
]
METHODS_ON.command[:0] = ["env", "HFPADDLE_TEST_METHODS_ON=1"]
TESTS = [
    pytest(
        "product", MAIN, "hfpaddle", "converters", "kernels", "--ignore=hfpaddle/structure_test.py"
    ),
    METHODS_ON,
    pytest("null device", MAIN, "compat_tests/nulldev"),
    # Two workers, each with one thread: the reference and ours would fight over the cores.
    pytest("compat", COMPAT, "compat_tests", "--ignore=compat_tests/nulldev", "-n", "2"),
    Part("support table", [str(MAIN / "python"), "compat_tests/support_table.py", "--check"]),
]


def counts(report: Path) -> dict[str, int]:
    """Return the totals of a pytest report; {} when there is none."""
    try:
        suites = ElementTree.parse(report).getroot().iter("testsuite")
    except (OSError, ElementTree.ParseError):
        return {}
    total = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        for key in total:
            total[key] += int(suite.get(key, 0))
    return total


def run(part: Part) -> tuple[bool, float]:
    print(f"\n== {part.name}: {' '.join(part.command)}", flush=True)
    part.report.unlink(missing_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    # .ci/run and the null device decide the device; a user's choice must not leak in.
    environment.pop("HFPADDLE_DEVICE", None)
    begin = time.monotonic()
    try:
        code = subprocess.run(part.command, cwd=ROOT, env=environment).returncode
    except OSError as error:
        print(error)
        code = 1
    return code == 0, time.monotonic() - begin


def describe(part: Part) -> str:
    total = counts(part.report)
    if not total:
        return ""
    bad = total["failures"] + total["errors"]
    passed = total["tests"] - bad - total["skipped"]
    return f"{passed} passed, {bad} failed, {total['skipped']} skipped"


def main(parts: list[Part]) -> int:
    REPORTS.mkdir(exist_ok=True)
    if TESTS[0] in parts:  # the table may list only what this run establishes
        shutil.rmtree(REPORTS / "support", ignore_errors=True)
    rows = [(part, *run(part)) for part in parts]
    print("\n== summary")
    for part, good, seconds in rows:
        print(f"{'ok' if good else 'FAILED':<7}{part.name:<13}{seconds:8.1f} s  {describe(part)}")
    every = [counts(part.report) for part, _, _ in rows]
    tests = sum(total.get("tests", 0) for total in every)
    bad = sum(total.get("failures", 0) + total.get("errors", 0) for total in every)
    failed = [part.name for part, good, _ in rows if not good]
    seconds = sum(seconds for _, _, seconds in rows)
    print(
        f"{tests} tests, {bad} failed, in {seconds:.0f} s; "
        + (f"FAILED parts: {', '.join(failed)}" if failed else "every part passed")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["lint"]):
        sys.exit("usage: suite.py [lint]")
    sys.exit(main(LINT if sys.argv[1:] else LINT + TESTS))
