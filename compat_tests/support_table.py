"""The table of supported families, made from what the tests noted in reports/support/.

python compat_tests/support_table.py            prints it
python compat_tests/support_table.py --write    puts it into README.md
python compat_tests/support_table.py --check    fails if README.md has another one
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "reports" / "support"
README = ROOT / "README.md"
BEGIN, END = "<!-- support table: begin -->", "<!-- support table: end -->"
COLUMNS = ("load", "save", "logits", "greedy", "beam", "padded", "sampled")
KINDS = ("decoder", "encoder", "encoder-decoder")
HEADS = {
    "AutoModelForMaskedLM": "MaskedLM",
    "AutoModelForSequenceClassification": "SequenceClassification",
    "AutoModelForTokenClassification": "TokenClassification",
    "AutoModelForQuestionAnswering": "QuestionAnswering",
    "AutoModelForMultipleChoice": "MultipleChoice",
    "AutoModelForNextSentencePrediction": "NextSentencePrediction",
    "AutoModelForPreTraining": "PreTraining",
    "AutoModelForCausalLM": "CausalLM",
    "AutoModelForSeq2SeqLM": "Seq2SeqLM",
    "AutoModelForImageClassification": "ImageClassification",
    "AutoModelForMaskedImageModeling": "MaskedImageModeling",
}


def records() -> dict[str, dict]:
    """Return each family's facts, later notes winning."""
    found: dict[str, dict] = {}
    for path in sorted(REPORTS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            found.setdefault(path.stem, {}).update(json.loads(line))
    return found


def cell(value: object) -> str:
    """Write "yes" for what was found equal; a logits difference is a number within tolerance."""
    return "" if value is None else "yes"


def table() -> str:
    """Return the table in Markdown, decoders first."""
    lines = [
        "| family | kind | " + " | ".join(COLUMNS) + " | further heads |",
        "|---" * (len(COLUMNS) + 3) + "|",
    ]
    found = records()
    order = sorted(found, key=lambda name: (KINDS.index(found[name]["kind"]), name))
    for family in order:
        facts = found[family]
        cells = " | ".join(cell(facts.get(column)) for column in COLUMNS)
        heads = ", ".join(short for auto, short in HEADS.items() if facts.get(auto))
        star = " (1)" if "reference" in facts else ""
        lines.append(f"| {family}{star} | {facts['kind']} | {cells} | {heads} |")
    for family in order:
        if "reference" in found[family]:
            lines += ["", f"(1) {family}: compared with a {found[family]['reference']}."]
    return "\n".join(lines)


def in_readme() -> tuple[str, str, str]:
    """Return README.md in three pieces: before, the table, after."""
    before, rest = README.read_text().split(BEGIN)
    middle, after = rest.split(END)
    return before + BEGIN, middle.strip(), END + after


def main(arguments: list[str]) -> int:
    made = table()
    if arguments == ["--write"]:
        before, _, after = in_readme()
        README.write_text(f"{before}\n{made}\n{after}")
    elif arguments == ["--check"]:
        if in_readme()[1] != made:
            print(f"README.md shows another table than the tests established:\n{made}")
            print("Run `python compat_tests/support_table.py --write` after the tests.")
            return 1
        print(f"README.md shows what the tests established: {made.count(chr(10)) - 1} lines")
    elif not arguments:
        print(made)
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
