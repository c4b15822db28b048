"""Checkpoint names <-> parameter names, as data beside each model class.

Our attributes bear the Hub's names, so most families need no rule but `Tie`. Each rule knows its
inverse, which makes saving the exact opposite of loading.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Rename:
    """Replace the regular expression ``theirs`` by ``ours`` when loading.

    ``back`` is the pair that undoes it on saving; None where old spellings are read, never written.
    """

    theirs: str
    ours: str
    back: tuple[str, str] | None = None


@dataclass(frozen=True)
class Drop:
    """Ignore checkpoint tensors that match this shell-style pattern: they can be recomputed."""

    pattern: str


@dataclass(frozen=True)
class Tie:
    """``target`` is the same parameter as ``source`` when the config key ``when`` is true.

    ``when=None`` ties always. A tied target is written once, under ``source``.
    """

    target: str
    source: str
    when: str | None = "tie_word_embeddings"


class KeyMap:
    """An ordered list of rules."""

    def __init__(self, rules: tuple[Rename | Drop | Tie, ...] = ()) -> None:
        self.rules = tuple(rules)

    def __add__(self, other: KeyMap) -> KeyMap:
        return KeyMap(self.rules + other.rules)

    @property
    def ties(self) -> list[Tie]:
        return [rule for rule in self.rules if isinstance(rule, Tie)]

    def to_ours(self, name: str) -> str | None:
        """Return our name of checkpoint tensor ``name``, or None if a rule drops it."""
        for rule in self.rules:
            if isinstance(rule, Drop) and fnmatch.fnmatchcase(name, rule.pattern):
                return None
            if isinstance(rule, Rename):
                name = re.sub(rule.theirs, rule.ours, name)
        return name

    def to_hub(self, name: str) -> str:
        """Return the name under which our parameter ``name`` is saved."""
        for rule in reversed(self.rules):
            if isinstance(rule, Rename) and rule.back:
                name = re.sub(rule.back[0], rule.back[1], name)
        return name
