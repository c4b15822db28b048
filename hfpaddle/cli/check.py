"""``hfpaddle check``: what a script takes from torch and transformers, and what works here."""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from hfpaddle.checking import Report, Row, ScriptError, Verdict, check_script

EXAMPLES = (
    "Example: hfpaddle check train.py\n\n"
    "Exit code 0: it would run, 1: it would fail, 2: there is no such script, or it is no Python."
)
_NAME = 44  # columns of a name, unless it is longer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", help="the script; nothing of it runs")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments; not looked at")
    parser.add_argument("--json", action="store_true", help="write the table as JSON")
    parser.add_argument("--strict", action="store_true", help="count what may fail as failing")
    parser.add_argument("--problems", action="store_true", help="leave out the names that work")


def run(args: argparse.Namespace) -> int:
    """Print the table; return the exit code."""
    # Directly after the script they are ours as well; behind its first argument they are its own.
    for argument in args.arguments:
        if argument not in ("--json", "--strict", "--problems"):
            break
        setattr(args, argument[2:], True)
    try:
        report = check_script(args.script)
    except ScriptError as error:
        print(f"hfpaddle check: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(report.as_json(args.strict), indent=2))
    else:
        show(report, args)
    return 0 if report.would_run(args.strict) else 1


def show(report: Report, args: argparse.Namespace) -> None:
    width = max(shutil.get_terminal_size((120, 24)).columns, 80)
    rows = [r for r in report.rows if not (args.problems and r.verdict is Verdict.WORKS)]
    places = {id(row): f"{row.file}:{row.line}" for row in rows}
    place = max([len(text) for text in places.values()], default=0)
    for row in rows:
        print(_line(row, places[id(row)].ljust(place), width))
    print(report.summary(args.strict))


def _line(row: Row, place: str, width: int) -> str:
    more = f" (+{len(row.lines) - 1} lines)" if len(row.lines) > 1 else ""
    text = f"{place}  {row.verdict.value:9}  {row.shown_name()}{more}"
    if not row.how:
        return text
    start = len(place) + 13 + _NAME
    joined = f"{text.ljust(start)}  {row.how}"
    return joined if len(joined) <= width else f"{text}\n{' ' * (len(place) + 13)}{row.how}"
