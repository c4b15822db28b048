"""Run peft's own tests on Paddle and on torch, and count what passes.

    pip download peft==0.21.2 --no-binary :all: --no-deps && tar xzf peft-0.21.2.tar.gz
    HFPADDLE_PEFT_CHECKOUT=peft-0.21.2 .venv-compat/bin/python compat_tests/peft/upstream_tests.py

Both run offline. Exit status 0 means that every test that passes on torch passes on Paddle.
``--write`` puts the counts into docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "hf_examples"))

from example_tables import put, versions  # noqa: E402
from run import OURS, REFERENCE, blob_id, environment, refuse_torch  # noqa: E402

VARIABLE = "HFPADDLE_PEFT_CHECKOUT"
FILES = ("tests/test_config.py", "tests/test_mapping.py")
HEAD = (
    "| file | file (git blob) | tests | passed on torch | passed by hfpaddle | failed | skipped | "
    "passed on torch alone |"
)


def checkout() -> Path:
    """Return the folder of peft's sources."""
    folder = Path(os.environ.get(VARIABLE, ""))
    if VARIABLE not in os.environ or not (folder / FILES[0]).is_file():
        sys.exit(f"{VARIABLE} must hold the path of peft's source distribution, or of a checkout")
    return folder.resolve()


def outcomes(start: list[str], file: str, folder: Path) -> dict[str, str]:
    """Run one file and return "passed", "failed" or "skipped" for each of its tests."""
    report = folder / "report.xml"
    # Away from the sources: beside them, `import peft` would mean those, and options of their own.
    name = shutil.copy(checkout() / file, folder)
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", f"--junitxml={report}"]
    command = [*start, *options, name]
    print(" ".join(command), flush=True)
    variables = environment(folder / "home")
    subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL)
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        result = "skipped" if "skipped" in kinds else "passed"
        found[case.get("name", "")] = "failed" if kinds & {"failure", "error"} else result
    return found


def row(file: str) -> tuple[str, bool]:
    """The table's line for a file, and whether all is as on torch."""
    starts = [str(REFERENCE), "-m", "pytest"], [str(OURS), *"-m hfpaddle run -m pytest".split()]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reference, ours = (outcomes(start, file, folder) for start in starts)
    results = list(ours.values())
    passed, failed, skipped = (results.count(what) for what in ("passed", "failed", "skipped"))
    there = sum(result == "passed" for result in reference.values())
    lost = [n for n, result in reference.items() if result == "passed" and ours.get(n) != result]
    for name in lost:
        print(f"    only on torch: {name}")
    blob = blob_id(checkout() / file)[:10]
    total = len(reference)
    cells = (f"{there} of {total}", f"{passed} of {total}", failed, skipped, len(lost))
    return f"| `{file}` | `{blob}` | {total} | {' | '.join(map(str, cells))} |", not lost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    checkout(), refuse_torch(OURS)
    rows, good = [], True
    for file in FILES:
        text, same = row(file)
        rows.append(text)
        good &= same
        print(text)
    if options.write:
        made = versions(None, ("peft", "torch", "transformers", "paddlepaddle"))
        lines = "|---" * HEAD.count(" | ") + "|---|"
        put("peft tests", "\n".join([HEAD, lines, *rows, "", made]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
