"""Run example scripts of transformers, trl and peft, untouched, on torch and on Paddle; compare.

    HFPADDLE_TRANSFORMERS_CHECKOUT=~/transformers HFPADDLE_PEFT_CHECKOUT=~/peft \\
        python compat_tests/hf_examples/run.py

trl's script is that of the installed trl. Without a checkout of peft (its source distribution has
no examples) its script is left out. Each script runs once under the interpreter with the original
libraries, and once under ``python -m hfpaddle run`` in one that has no torch. Exit status 0 means
that all agree.

    --only NAME     run these scripts only (run_clm); may be repeated
    --write         put the results into docs/compatibility.md (with --only, other rows stay)
    --commit ID     the checkout's commit, where it holds no .git to ask
    --keep FOLDER   leave fixtures, outputs and logs there
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from example_list import EXAMPLES, Example  # noqa: E402
from example_records import Record, Verdict, compare, read  # noqa: E402
from example_tables import put, row, rows_of, table  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "HFPADDLE_TRANSFORMERS_CHECKOUT"
PEFT_VARIABLE = "HFPADDLE_PEFT_CHECKOUT"
REFERENCE = ROOT / ".venv-compat" / "bin" / "python"
OURS = ROOT / ".venv" / "bin" / "python"


def checkout() -> Path:
    """Return the folder of the transformers checkout."""
    folder = Path(os.environ.get(VARIABLE, ""))
    if VARIABLE not in os.environ or not (folder / "examples" / "pytorch").is_dir():
        sys.exit(f"{VARIABLE} must hold the path of a checkout of huggingface/transformers")
    return folder.resolve()


def script_of(example: Example) -> Path:
    """Return the path of the script; it need not exist."""
    if example.origin == "peft":
        return Path(os.environ.get(PEFT_VARIABLE, "")).resolve() / "examples" / example.script
    if example.origin == "trl":
        code = "import importlib.util; print(importlib.util.find_spec('trl').origin)"
        found = subprocess.run([REFERENCE, "-c", code], check=True, capture_output=True, text=True)
        return Path(found.stdout.strip()).parent / "scripts" / example.script
    return checkout() / "examples" / "pytorch" / example.script


def commit_of(folder: Path) -> str:
    git = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    if not (folder / ".git").exists():
        return "unknown"
    return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()


def blob_id(path: Path) -> str:
    """Return git's name of the file's content, so that anyone can tell which version ran."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a run: offline, on CPU, with caches of its own."""
    return {
        **os.environ,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def refuse_torch(python: Path) -> None:
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)"
    if subprocess.run([python, "-c", code]).returncode:
        sys.exit(f"{python} has torch, or does not start: hfpaddle must be shown without it")


def execute(example: Example, start: list[str], folder: Path, fixtures: Path) -> Record | None:
    """Run ``example`` with the command that begins with ``start``; None if it fails."""
    place = folder / example.name
    shutil.copytree(fixtures / "metrics", place / "cwd")
    out = place / "out"
    places = {name: str(fixtures / name) for name in ("models", "data", "images")}
    command = [*start, str(script_of(example)), *example.arguments({**places, "out": str(out)})]
    begin = time.monotonic()
    log = place / "log.txt"
    with log.open("w") as errors:
        done = subprocess.run(
            command,
            cwd=place / "cwd",
            env=environment(folder / "home"),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    seconds = time.monotonic() - begin
    (place / "printed.txt").write_text(done.stdout)
    if done.returncode:
        print(f"{example.name}: exit status {done.returncode} of {' '.join(command)}")
        print("".join(log.read_text().splitlines(keepends=True)[-15:]))
        return None
    record = read(out, done.stdout)
    record.seconds = seconds
    return record


def judge(example: Example, folder: Path, fixtures: Path) -> tuple[Verdict, Record, Record]:
    """Run ``example`` both ways."""
    start = [str(REFERENCE), str(Path(__file__).with_name("original.py"))]
    reference = execute(example, start, folder / "torch", fixtures)
    if reference is None:
        sys.exit(f"{example.name} fails with the original libraries: nothing to compare with")
    start = [str(OURS), "-m", "hfpaddle", "run"]
    ours = execute(example, start, folder / "hfpaddle", fixtures)
    if ours is None:
        return Verdict(["does not finish"]), Record(), reference
    return compare(ours, reference, example.leaves), ours, reference


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=[one.name for one in EXAMPLES])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--commit")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    chosen = [one for one in EXAMPLES if not options.only or one.name in options.only]
    for example in chosen[:]:
        if not script_of(example).is_file():
            print(f"{example.name}: left out, there is no {script_of(example)}")
            chosen.remove(example)
    commit = options.commit or commit_of(checkout())
    refuse_torch(OURS)
    rows = []
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        fixtures = folder / "fixtures"
        subprocess.run(
            [REFERENCE, Path(__file__).with_name("example_fixtures.py"), fixtures],
            check=True,
            env=environment(folder / "home"),
            stderr=subprocess.DEVNULL,
        )
        for example in chosen:
            verdict, ours, reference = judge(example, folder, fixtures)
            blob = blob_id(script_of(example))
            rows.append(row(example.name, blob, verdict, ours, reference))
            good &= not verdict.problems
            print(rows[-1], flush=True)
            for problem in verdict.problems[:12]:
                print(f"    {problem}")
    if options.write:
        kept = rows_of("example scripts") if options.only else {}
        fresh = {line.split("|")[1]: line for line in rows}
        put("example scripts", table([*(kept | fresh).values()], commit))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
