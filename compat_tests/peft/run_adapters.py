"""The training scripts of `run_training`, with LoRA in every model, on either library.

``python run_adapters.py torch|paddle FOLDER OUT.json CASE...``
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

import run_training as runs

TASKS = {
    "AutoModelForCausalLM": {"task_type": "CAUSAL_LM", "target_modules": "all-linear"},
    "AutoModelForSequenceClassification": {"task_type": "SEQ_CLS"},
    "AutoModelForSeq2SeqLM": {"task_type": "SEQ_2_SEQ_LM"},
}


class Adapted:
    """A library whose auto classes give models with a seeded adapter."""

    def __init__(self, hf, peft, **config):
        self.hf, self.peft, self.config = hf, peft, {"r": 4, "lora_alpha": 16, **config}

    def __getattr__(self, name):
        found = getattr(self.hf, name)
        if name not in TASKS:
            return found
        adapted = self

        class Auto:
            @staticmethod
            def from_pretrained(*args, **kwargs):
                model = found.from_pretrained(*args, **kwargs)
                adapted.hf.set_seed(0)
                config = adapted.peft.LoraConfig(**TASKS[name], **adapted.config)
                return adapted.peft.get_peft_model(model, config)

        return Auto


def dora(hf, folder, out):
    return runs.causal(Adapted(hf.hf, hf.peft, use_dora=True), folder, out)


def dropout(hf, folder, out):
    return runs.causal(Adapted(hf.hf, hf.peft, lora_dropout=0.1), folder, out)


CASES = {
    "plain": runs.CASES["plain"],
    "dora": dora,
    "dropout": dropout,
    "accumulation": runs.CASES["accumulation"],
    "checkpointing": lambda *a: runs.causal(
        *a, gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}
    ),
    "classified": runs.CASES["classified"],
    "sequences": runs.CASES["sequences"],
    "resumed": runs.CASES["resumed"],
    "best": runs.CASES["best"],
    "packed": runs.CASES["packed"],
    "padded": runs.CASES["padded"],
}


def main(world: str, folder: Path, out: Path, names: list[str]) -> None:
    if world == "torch":
        import peft
        import transformers as hf
    else:
        import hfpaddle.peft as peft
        import hfpaddle.transformers as hf
    results = {}
    for name in names:
        place = out.parent / f"{world}-{name}"
        shutil.rmtree(place, ignore_errors=True)
        trainer = CASES[name](Adapted(hf, peft), folder, place)
        trainer.save_model(str(place / "final"))
        results[name] = {
            "log": trainer.state.log_history,
            "files": sorted(p.name for p in (place / "final").iterdir()),
        }
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:] or list(CASES))
