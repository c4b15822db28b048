"""Run benchmarks by name and keep their rows: ``python benchmarks/run.py NAME... [--repeat N]``.

NAME is that of a file ``bench_<name>.py`` here, whose ``measure(repeat)`` yields results. Each is
printed and appended, with the conditions it was taken under, to ``results/<name>.csv``. The exit
status is 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from common import THREADS, Result  # noqa: E402


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True).stdout

    dirty = "-dirty" if git("status", "--porcelain", "--untracked-files=no").strip() else ""
    return git("rev-parse", "--short", "HEAD").strip() + dirty


def conditions() -> dict[str, object]:
    from hfpaddle import backends

    device = backends.resolve_device()
    rows = {row["device"]: row["name"] for row in backends.describe()}
    return {
        "date": datetime.date.today().isoformat(),
        "device": device,
        "processor": f"{rows['cpu']} x{os.cpu_count()}",
        "accelerator": rows[device] if device != "cpu" else "",
        "threads": THREADS,
        "python": ".".join(map(str, sys.version_info[:3])),
        "paddle": importlib.metadata.version("paddlepaddle"),
        "transformers": importlib.metadata.version("transformers"),
        "commit": commit(),
    }


def keep(path: Path, row: dict[str, object]) -> None:
    """Append ``row``; a file with other columns is an error, since rows must stay comparable."""
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    if not new:
        with path.open(newline="") as file:
            header = next(csv.reader(file))
        if header != list(row):
            sys.exit(f"{path}: columns are {header}, this benchmark gives {list(row)}")
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def show(result: Result) -> None:
    row = result.row()
    verdict = "" if result.good is None else ("  goal met" if result.good else "  GOAL MISSED")
    print(
        f"{result.what:<32} ours {row['ours_p50']:>10} {result.unit:<4} "
        f"theirs {row['theirs_p50']:>10} {result.unit:<4} ratio {row['ratio']:>7}  "
        f"{result.goal}{verdict}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="+", choices=names())
    parser.add_argument("--repeat", type=int, default=5, help="child processes of each kind")
    parser.add_argument("--no-keep", action="store_true", help="print only")
    options = parser.parse_args()
    missed = False
    for name in options.name:
        where = conditions()
        for result in importlib.import_module(f"bench_{name}").measure(options.repeat):
            show(result)
            missed |= result.good is False
            if not options.no_keep:
                keep(HERE / "results" / f"{name}.csv", {**result.row(), **where, **result.extra})
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
