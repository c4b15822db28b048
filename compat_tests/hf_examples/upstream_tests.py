"""Run tests of a transformers checkout on Paddle and count what passes.

    HFPADDLE_TRANSFORMERS_CHECKOUT=~/transformers python compat_tests/hf_examples/upstream_tests.py

Exit status 0 means that every test passed. ``--write`` puts the counts into docs/compatibility.md;
``--commit ID`` names the checkout's commit where it holds no .git to ask.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from example_tables import put, versions  # noqa: E402
from run import OURS, blob_id, checkout, commit_of, environment, refuse_torch  # noqa: E402

FILES = (
    "tests/trainer/test_data_collator.py",
    "tests/trainer/test_trainer_utils.py",
    "tests/trainer/test_training_args.py",
    "tests/optimization/test_optimization.py",
)
HEAD = "| file | file (git blob) | passed | failed | skipped |"


def count(report: Path) -> tuple[int, int, int]:
    """Return how many tests of a pytest report passed, failed and were skipped."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total = {
        key: sum(int(suite.get(key, 0)) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    }
    failed = total["failures"] + total["errors"]
    return total["tests"] - failed - total["skipped"], failed, total["skipped"]


def run(file: str, folder: Path) -> tuple[int, int, int]:
    """Run one file of the checkout under the hook and count its tests."""
    report = folder / "report.xml"
    pytest = ["pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", file]
    command = [str(OURS), "-m", "hfpaddle", "run", "-m", *pytest]
    print(" ".join(command), flush=True)
    subprocess.run(command, cwd=checkout(), env=environment(folder / "home"))
    return count(report)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--commit")
    options = parser.parse_args()
    commit = options.commit or commit_of(checkout())
    refuse_torch(OURS)
    rows, good = [], True
    for file in FILES:
        with tempfile.TemporaryDirectory() as folder:
            passed, failed, skipped = run(file, Path(folder))
        good &= bool(passed) and not failed + skipped
        total = passed + failed + skipped
        blob = blob_id(checkout() / file)[:10]
        rows.append(f"| `{file}` | `{blob}` | {passed} of {total} | {failed} | {skipped} |")
        print(rows[-1])
    if options.write:
        made = versions(commit, ("transformers", "paddlepaddle"))
        put("upstream tests", "\n".join([HEAD, "|---|---|---|---|---|", *rows, "", made]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
