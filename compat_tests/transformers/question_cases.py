"""Questions asked of a fixed tiny model, and how transformers 4.57.1 answered them.

transformers 5 has no question-answering pipeline. `answers_4_57.json` holds the answers of the
last version that had one. To make it again, in an environment of `RECORDED_WITH`, for a
checkpoint that `pipeline_models.checkpoint` wrote: ``python question_cases.py FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RECORDED_WITH = {"transformers": "4.57.1", "torch": "2.13.0"}
FILE = Path(__file__).with_name("answers_4_57.json")
CONTEXT = "My name is Wolfgang and I live in Berlin, the old city of politics. A dog runs faster."
LONG = " ".join(
    [CONTEXT, "The cat sat on the mat, and the unhappy trees of the river was new!"] * 4
)
WHERE, WHO = "Where do you live?", "Who is in the house?"
# Settings of the pipeline, then arguments of the call.
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"question": WHERE, "context": CONTEXT}),
    ({}, {"question": [WHERE, WHO], "context": CONTEXT}),
    ({}, {"question": [WHERE, WHO], "context": [LONG, CONTEXT]}),
    ({}, {"question": WHERE, "context": CONTEXT, "top_k": 5}),
    ({}, {"question": WHERE, "context": CONTEXT, "top_k": 4, "align_to_words": False}),
    ({}, {"question": WHERE, "context": CONTEXT, "align_to_words": False}),
    ({}, {"question": WHERE, "context": CONTEXT, "top_k": 40}),
    ({}, {"question": WHERE, "context": CONTEXT, "max_answer_len": 1, "top_k": 3}),
    ({}, {"question": WHERE, "context": CONTEXT, "handle_impossible_answer": True, "top_k": 3}),
    ({}, {"question": WHO, "context": LONG}),
    ({}, {"question": WHO, "context": LONG, "max_seq_len": 24, "doc_stride": 8, "top_k": 4}),
    ({}, {"question": WHO, "context": LONG, "max_seq_len": 30, "padding": "max_length"}),
    (
        {},
        {
            "question": WHO,
            "context": LONG,
            "max_seq_len": 24,
            "handle_impossible_answer": True,
            "top_k": 2,
        },
    ),
    ({"top_k": 2, "max_answer_len": 3}, {"question": WHO, "context": CONTEXT}),
    ({"batch_size": 3}, {"question": [WHERE, WHO], "context": LONG, "max_seq_len": 24}),
    ({"side": "left"}, {"question": WHERE, "context": CONTEXT, "top_k": 3}),
    ({"side": "left"}, {"question": [WHERE, WHO], "context": LONG, "batch_size": 2, "top_k": 2}),
]


def recorded() -> list[Any]:
    """Return the answers to `CASES`."""
    return json.loads(FILE.read_text())["answers"]


def _record(folder: str) -> None:
    import torch
    import transformers

    versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    assert versions == RECORDED_WITH, versions
    settings = json.loads(Path(folder, "tokenizer_config.json").read_text())
    kept = ("model_max_length", "model_input_names", "pad_token", "cls_token", "sep_token")
    answers = []
    for start, call in CASES:
        start = dict(start)
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=f"{folder}/tokenizer.json",
            padding_side=start.pop("side", "right"),
            unk_token="[UNK]",
            mask_token="[MASK]",
            **{key: settings[key] for key in kept},
        )
        model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder)
        pipe = transformers.pipeline(
            "question-answering", model=model, tokenizer=tokenizer, device="cpu", **start
        )
        answers.append(pipe(**call))
    lines = ",\n".join(json.dumps(answer) for answer in answers)
    head = json.dumps(versions)
    FILE.write_text(f'{{"recorded_with": {head},\n"answers": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    _record(sys.argv[1])
