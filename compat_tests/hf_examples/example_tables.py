"""Result tables in docs/compatibility.md, between marks that name them."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from example_records import Record, Verdict

PACKAGES = ("torch", "transformers", "accelerate", "peft", "trl", "paddlepaddle")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
HEAD = (
    "| script | file (git blob) | steps | losses compared | largest relative difference | "
    "largest difference of a trained weight | as the original | seconds torch | seconds hfpaddle |"
)


def last_step(record: Record) -> int:
    return max((step for _, step, _ in record.logged), default=0)


def row(name: str, blob: str, verdict: Verdict, ours: Record, reference: Record) -> str:
    """Return the table's line for one script."""
    result = f"no: {verdict.problems[0]}" if verdict.problems else "yes"
    if reference.texts:
        compared, largest = f"{len(reference.texts)} texts", "equal" if result == "yes" else "-"
    else:
        compared, largest = str(verdict.losses), f"{verdict.largest:.1e}"
    cells = (
        *(f"`{name}`", f"`{blob[:10]}`", str(last_step(reference)), compared, largest),
        "" if verdict.weights is None else f"{verdict.weights:.1e}",
        *(result, f"{reference.seconds:.0f}", f"{ours.seconds:.0f}"),
    )
    return f"| {' | '.join(cells)} |"


def versions(commit: str | None, packages: tuple[str, ...]) -> str:
    """Return the line that tells what a table was made with.

    Args:
        commit: of the transformers checkout, if one was read.
    """
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    checkout = f"transformers commit `{commit}`; " if commit else ""
    return f"{checkout}{found}; Python {platform.python_version()}, CPU."


def table(rows: list[str], commit: str) -> str:
    """Return the table of example scripts. Run where torch is installed."""
    made = versions(commit, PACKAGES)
    return "\n".join([HEAD, "|---" * HEAD.count(" | ") + "|---|", *rows, "", made])


def rows_of(name: str) -> dict[str, str]:
    """Return the table's lines between the marks of ``name``, by their first cell."""
    text = PAGE.read_text().split(f"<!-- {name}: begin -->")[1].split(f"<!-- {name}: end -->")[0]
    return {line.split("|")[1]: line for line in text.splitlines() if line.startswith("| `")}


def put(name: str, text: str) -> None:
    """Replace what stands between the marks of ``name`` in the page.

    Raises: ValueError if the page has no such marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = PAGE.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{PAGE} lacks {begin} ... {end}")
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")
