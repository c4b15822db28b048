"""The load report: which tensors were missing, unexpected or of another shape, one row a pattern.

The words are those that users of transformers know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
Mismatch = tuple[str, tuple[int, ...], tuple[int, ...]]


@dataclass
class LoadReport:
    """Names in the model's spelling, except ``dropped``, which are the checkpoint's."""

    loaded: int = 0
    dropped: set[str] = field(default_factory=set)
    missing_keys: set[str] = field(default_factory=set)
    unexpected_keys: set[str] = field(default_factory=set)
    mismatched_keys: set[Mismatch] = field(default_factory=set)

    def to_dict(self) -> dict:
        """Return what ``output_loading_info=True`` gives."""
        return {
            "missing_keys": self.missing_keys,
            "unexpected_keys": self.unexpected_keys,
            "mismatched_keys": self.mismatched_keys,
            "error_msgs": [],
        }

    def table(self) -> str | None:
        """Return the report as text, or None if every tensor found its place."""
        rows = [("Key", "Status", "Details")]
        rows += [(key, "UNEXPECTED", "") for key in merged(self.unexpected_keys)]
        rows += [(key, "MISSING", "") for key in merged(self.missing_keys)]
        for key, theirs, ours in sorted(self.mismatched_keys):
            details = f"Reinit due to size mismatch - ckpt: {theirs} vs model: {ours}"
            rows.append((key, "MISMATCH", details))
        if len(rows) == 1:
            return None
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.insert(1, "-+-".join("-" * width for width in widths))
        return "\n".join([*lines, *self._notes()])

    def _notes(self) -> list[str]:
        notes = []
        if self.unexpected_keys:
            notes.append(
                "- UNEXPECTED: these can be ignored when the checkpoint is of another task or "
                "architecture; not if you expect the same."
            )
        if self.missing_keys or self.mismatched_keys:
            notes.append(
                "- MISSING, MISMATCH: these weights were newly initialized. You should probably "
                "TRAIN this model on a down-stream task to be able to use it for predictions."
            )
        return ["", *notes]


def merged(names: Iterable[str]) -> list[str]:
    """Write ``layers.0.x`` and ``layers.1.x`` as ``layers.{0, 1}.x``."""
    groups: dict[str, list[list[int]]] = {}
    for name in sorted(names):
        numbers = [int(n) for n in _NUMBER.findall(name)]
        groups.setdefault(_NUMBER.sub("*", name), []).append(numbers)
    lines = []
    for pattern, found in groups.items():
        columns = [sorted(set(column)) for column in zip(*found, strict=True)]
        for values in columns:
            pattern = pattern.replace("*", _span(values), 1)
        lines.append(pattern)
    return lines


def _span(values: list[int]) -> str:
    if len(values) == 1:
        return str(values[0])
    if len(values) > 10:
        return f"{{{values[0]}...{values[-1]}}}"
    return "{" + ", ".join(map(str, values)) + "}"
