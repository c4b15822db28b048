"""Verdicts on names, and the report that collects them."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field
from typing import Any


class Verdict(str, enum.Enum):
    """What becomes of a name, from best to worst."""

    WORKS = "works"
    EMULATED = "emulated"
    NO_EFFECT = "no effect"
    GUARDED = "guarded"
    MAY_FAIL = "may fail"
    FAILS = "will fail"


# Of several verdicts on a name the worst stays; one on code whose errors do not count is the least.
_WORSE = {verdict: rank for rank, verdict in enumerate(Verdict)} | {Verdict.GUARDED: -1}


@dataclass(frozen=True)
class Finding:
    """A verdict on one name, and why.

    Attributes:
        how: how it is done, or what is nearest.
        error: what using the name raises, if it fails.
    """

    verdict: Verdict
    how: str = ""
    error: type[BaseException] = NotImplementedError

    @property
    def fails(self) -> bool:
        return self.verdict in (Verdict.FAILS, Verdict.MAY_FAIL)


TYPE_CHECKING = "under TYPE_CHECKING"


@dataclass(frozen=True)
class Condition:
    """Something around a piece of code that decides whether it runs, or what its errors do.

    Attributes:
        kind: "never" runs; "branch" may run; "caught": errors are.
        caught: the exception classes of a "caught".
    """

    kind: str
    text: str
    caught: tuple[type[BaseException], ...] = ()


def under(finding: Finding, conditions: list[Condition]) -> Finding:
    """Return ``finding`` as it stands in code under ``conditions``."""
    never = next((c for c in conditions if c.kind == "never"), None)
    if not finding.fails:
        hidden = never is not None and never.text == TYPE_CHECKING
        return Finding(Verdict.GUARDED, TYPE_CHECKING) if hidden else finding
    if never is not None:
        return Finding(Verdict.GUARDED, f"{never.text}: {finding.how}", finding.error)
    for condition in conditions:
        if condition.kind == "caught" and issubclass(finding.error, condition.caught):
            return Finding(Verdict.GUARDED, f"{condition.text}: {finding.how}", finding.error)
    branch = next((c for c in reversed(conditions) if c.kind == "branch"), None)
    if branch is not None and finding.verdict is Verdict.FAILS:
        return Finding(Verdict.MAY_FAIL, f"{branch.text}: {finding.how}", finding.error)
    return finding


@dataclass
class Row:
    """One name of the script: where it stands first, and every line that has it."""

    file: str
    line: int
    name: str
    verdict: Verdict
    how: str = ""
    lines: list[int] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)

    def shown_name(self) -> str:
        return f"{self.name}({', '.join(self.keywords)})" if self.keywords else self.name

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "lines": self.lines,
            "name": self.name,
            "keywords": self.keywords,
            "verdict": self.verdict.value,
            "how": self.how,
        }


class Report:
    """The rows of a script and of the files beside it that it imports."""

    def __init__(self, script: str) -> None:
        self.script = script
        self._rows: dict[tuple[str, str], Row] = {}

    def add(self, file: str, line: int, name: str, finding: Finding) -> Row:
        """Note ``name`` on ``line``; of several verdicts on a name the worst stays."""
        row = self._rows.get((file, name))
        if row is None:
            row = Row(file, line, name, finding.verdict, finding.how)
            self._rows[file, name] = row
        elif _WORSE[finding.verdict] > _WORSE[row.verdict]:
            row.line, row.verdict, row.how = line, finding.verdict, finding.how
        elif finding.verdict is row.verdict and not row.how:
            row.how = finding.how
        if line not in row.lines:
            row.lines = sorted([*row.lines, line])
        return row

    @property
    def rows(self) -> list[Row]:
        """By file, the script first, and line."""
        return sorted(
            self._rows.values(), key=lambda r: (r.file != self.script, r.file, r.line, r.name)
        )

    def count(self, verdict: Verdict) -> int:
        return sum(row.verdict is verdict for row in self._rows.values())

    def would_run(self, strict: bool = False) -> bool:
        """Whether no name fails; ``strict`` counts those that may."""
        bad = self.count(Verdict.FAILS) + (self.count(Verdict.MAY_FAIL) if strict else 0)
        return bad == 0

    def summary(self, strict: bool = False) -> str:
        counts = [f"{self.count(v)} {v.value}" for v in Verdict if self.count(v)]
        verdict = "would run" if self.would_run(strict) else "would fail"
        names = ", ".join(counts) or "nothing taken from the mirrored packages"
        return f"{os.path.basename(self.script)} {verdict}: {names}."

    def as_json(self, strict: bool = False) -> dict[str, Any]:
        return {
            "script": self.script,
            "would_run": self.would_run(strict),
            "counts": {v.value: self.count(v) for v in Verdict},
            "names": [row.as_json() for row in self.rows],
        }
