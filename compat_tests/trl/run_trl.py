"""Training scripts that run alike on trl and on its mirror; each leaves data, logs and files.

``python run_trl.py torch|paddle FOLDER OUT.json CASE...``; FOLDER holds a model with a tokenizer.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import trl_samples as samples

SETTINGS = {
    **{"max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 5e-3, "bf16": False},
    **{"logging_steps": 1, "save_strategy": "no", "use_cpu": True, "seed": 11},
    **{"report_to": "none", "disable_tqdm": True, "gradient_checkpointing": False},
}


def libraries(world: str) -> SimpleNamespace:
    if world == "torch":
        import peft
        import trl
    else:
        import hfpaddle.peft as peft
        import hfpaddle.trl as trl
    hf = "transformers" if world == "torch" else "hfpaddle.transformers"
    return SimpleNamespace(trl=trl, peft=peft, hf=hf)


def sft(libs, folder, out, kind="text", adapter=None, tests=None, trainer=None, **settings):
    """``trainer`` holds further arguments of the trainer, ``tests`` makes it evaluate."""
    extra = dict(trainer or {})
    if adapter is not None:
        extra["peft_config"] = libs.peft.LoraConfig(task_type="CAUSAL_LM", **adapter)
    if tests is not None:
        extra["eval_dataset"] = samples.dataset(tests, 9, 1)
        settings = {"eval_strategy": "steps", "eval_steps": 3, **settings}
    trainer = libs.trl.SFTTrainer(
        model=str(folder),
        args=libs.trl.SFTConfig(str(out), **{**SETTINGS, **settings}),
        train_dataset=samples.dataset(kind),
        **extra,
    )
    trainer.train()
    return trainer


def dpo(libs, folder, out, kind="preference", adapter=None, tests=None, trainer=None, **settings):
    extra = dict(trainer or {})
    if adapter is not None:
        extra["peft_config"] = libs.peft.LoraConfig(task_type="CAUSAL_LM", **adapter)
    if tests is not None:
        extra["eval_dataset"] = samples.dataset(tests, 9, 1)
        settings = {"eval_strategy": "steps", "eval_steps": 3, **settings}
    trainer = libs.trl.DPOTrainer(
        model=extra.pop("model", str(folder)),
        args=libs.trl.DPOConfig(str(out), **{**SETTINGS, **settings}),
        train_dataset=samples.dataset(kind),
        **extra,
    )
    trainer.train()
    return trainer


def dpo_adapted(libs, folder, out):
    """Train an adapter further: its reference is a copy of what it was."""
    hf = import_module(libs.hf)
    model = hf.AutoModelForCausalLM.from_pretrained(folder)
    config = {**LORA, "init_lora_weights": False, "task_type": "CAUSAL_LM"}
    hf.set_seed(3)
    model = libs.peft.get_peft_model(model, libs.peft.LoraConfig(**config))
    return dpo(libs, folder, out, "chat-preference", trainer={"model": model})


def dpo_evaluated(libs, folder, out, **settings):
    """Evaluate on a dataset that the trainer has not seen."""
    trainer = dpo(libs, folder, out, "chat-preference", adapter=LORA, max_steps=3, **settings)
    trainer.evaluate(samples.dataset("chat-preference", 7, 4))
    return trainer


def reward(libs, folder, out, kind="preference", adapter=None, tests=None, trainer=None, **more):
    extra = dict(trainer or {})
    if adapter is not None:
        extra["peft_config"] = libs.peft.LoraConfig(task_type="SEQ_CLS", **adapter)
    if tests is not None:
        extra["eval_dataset"] = samples.dataset(tests, 9, 1)
        more = {"eval_strategy": "steps", "eval_steps": 3, **more}
    trainer = libs.trl.RewardTrainer(
        model=str(folder),
        args=libs.trl.RewardConfig(str(out), **{**SETTINGS, **more}),
        train_dataset=extra.pop("train_dataset", None) or samples.dataset(kind),
        **extra,
    )
    trainer.train()
    return trainer


def streamed(libs, folder, out):
    args = libs.trl.SFTConfig(str(out), **SETTINGS)
    data = samples.dataset("chat").to_iterable_dataset()
    trainer = libs.trl.SFTTrainer(str(folder), args, train_dataset=data)
    trainer.train()
    return trainer


def with_plain_arguments(libs, folder, out):
    """A model and a tokenizer as objects, and TrainingArguments instead of SFTConfig."""
    hf = import_module(libs.hf)
    trainer = libs.trl.SFTTrainer(
        hf.AutoModelForCausalLM.from_pretrained(folder),
        hf.TrainingArguments(str(out), **{**SETTINGS, "max_steps": 2}),
        train_dataset=samples.dataset("chat"),
        processing_class=hf.AutoTokenizer.from_pretrained(folder),
    )
    trainer.train()
    return trainer


def evaluated_later(libs, folder, out):
    trainer = sft(libs, folder, out, "completion", max_steps=2)
    trainer.evaluate(samples.dataset("completion", 5, 5))
    return trainer


def several_tests(libs, folder, out):
    tests = {"a": samples.dataset("text", 5, 2), "b": samples.dataset("text", 7, 3)}
    more = {"eval_strategy": "steps", "eval_steps": 3, "trainer": {"eval_dataset": tests}}
    return sft(libs, folder, out, packing=True, max_length=20, **more)


def shapes(prediction):
    return {"width": float(prediction.predictions.shape[1]), "n": float(len(prediction.label_ids))}


def with_margins(count=22):
    data = samples.dataset("chat-preference", count)
    return data.add_column("margin", [0.1 * i for i in range(count)])


SMOOTH = {"max_steps": 3, "label_smoothing": 0.1, "beta": 0.5}
DPO_LOSSES = "hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired".split()
DPO_LOSSES += "apo_zero apo_down discopop sft sigmoid_norm".split()
DIVERGENCES = ["forward_kl", "js_divergence", "alpha_divergence"]
LORA = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"}
CASES = {
    "text": lambda *a: sft(*a, tests="text"),
    "chat": lambda *a: sft(*a, "chat", max_length=20),
    "sharegpt": lambda *a: sft(*a, "sharegpt", max_steps=2),
    "dialogue": lambda *a: sft(*a, "dialogue", assistant_only_loss=True),
    "completion": lambda *a: sft(*a, "completion"),
    "completion-whole": lambda *a: sft(*a, "completion", completion_only_loss=False),
    "chat-completion": lambda *a: sft(*a, "chat-completion", tests="chat-completion"),
    "formatted": lambda *a: sft(
        *a,
        "completion",
        completion_only_loss=False,
        trainer={"formatting_func": lambda row: "say " + row["prompt"] + row["completion"]},
        max_steps=2,
    ),
    "bfd": lambda *a: sft(*a, packing=True, max_length=24, tests="text"),
    "bfd-chat": lambda *a: sft(
        *a, "dialogue", packing=True, max_length=40, assistant_only_loss=True
    ),
    "bfd-split": lambda *a: sft(*a, packing=True, max_length=9, packing_strategy="bfd_split"),
    "wrapped": lambda *a: sft(*a, packing=True, max_length=16, packing_strategy="wrapped"),
    "padding-free": lambda *a: sft(*a, padding_free=True, max_length=None),
    "accumulation": lambda *a: sft(
        *a, "completion", gradient_accumulation_steps=3, shuffle_dataset=True
    ),
    "dft": lambda *a: sft(*a, loss_type="dft"),
    "smoothing": lambda *a: sft(*a, label_smoothing_factor=0.1),
    "checkpointing": lambda *a: sft(*a, gradient_checkpointing=True),
    "eos": lambda *a: sft(*a, "completion", eos_token="<|im_start|>", max_steps=2),
    "lora": lambda *a: sft(*a, "chat", adapter=LORA),
    "lora-bfd": lambda *a: sft(
        *a, "chat", adapter=LORA, packing=True, max_length=32, gradient_checkpointing=True
    ),
    "lora-dropout": lambda *a: sft(*a, "chat", adapter={**LORA, "lora_dropout": 0.3}),
    "prompt-tuning": lambda *a: prompt_tuned(*a),
    "prefix-tuning": lambda libs, *a: sft(libs, *a, trainer={"peft_config": prefix(libs)}),
    "streamed": streamed,
    "plain-arguments": with_plain_arguments,
    "evaluated-later": evaluated_later,
    "several-tests": several_tests,
    "metrics": lambda *a: sft(*a, tests="text", trainer={"compute_metrics": shapes}),
    "experts": lambda libs, folder, out: sft(
        libs, folder.parent / "mixtral", out, max_steps=3, gradient_accumulation_steps=2
    ),
    "dpo-experts": lambda libs, folder, out: dpo(libs, folder.parent / "mixtral", out, max_steps=3),
    "dpo": lambda *a: dpo(*a, tests="preference"),
    "dpo-chat": lambda *a: dpo(*a, "chat-preference", max_length=18),
    "dpo-implicit": lambda *a: dpo(*a, "implicit-preference", gradient_accumulation_steps=2),
    "dpo-precomputed": lambda *a: dpo(
        *a, tests="preference", precompute_ref_log_probs=True, precompute_ref_batch_size=5
    ),
    "dpo-lora": lambda *a: dpo(*a, "chat-preference", adapter=LORA, gradient_checkpointing=True),
    "dpo-lora-precomputed": lambda *a: dpo_evaluated(*a, precompute_ref_log_probs=True),
    "dpo-lora-evaluated": lambda *a: dpo_evaluated(*a),
    "dpo-adapted": dpo_adapted,
    "dpo-synced": lambda *a: dpo(*a, sync_ref_model=True, ref_model_sync_steps=2),
    "dpo-tail": lambda *a: dpo(*a, ld_alpha=0.3),
    "dpo-weighted": lambda *a: dpo(*a, use_weighting=True),
    "dpo-sum": lambda *a: dpo(*a, loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[1, 2, 3]),
    "reward": lambda *a: reward(*a, tests="preference"),
    "reward-implicit": lambda *a: reward(
        *a, "implicit-preference", center_rewards_coefficient=0.3, max_length=28
    ),
    "reward-margin": lambda *a: reward(
        *a, trainer={"train_dataset": with_margins()}, gradient_accumulation_steps=2
    ),
    "reward-lora": lambda *a: reward(
        *a, "chat-preference", adapter={**LORA, "modules_to_save": ["score"]}
    ),
    **{f"dpo-{name}": lambda *a, n=name: dpo(*a, loss_type=n, **SMOOTH) for name in DPO_LOSSES},
    **{f"dpo-{name}": lambda *a, n=name: dpo(*a, f_divergence_type=n) for name in DIVERGENCES},
}


def prompt_tuned(libs, folder, out):
    config = libs.peft.PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=3,
        prompt_tuning_init="TEXT",
        prompt_tuning_init_text="the cat sees",
        tokenizer_name_or_path=str(folder),
    )
    return sft(libs, folder, out, "completion", trainer={"peft_config": config})


def prefix(libs):
    return libs.peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)


def columns(dataset) -> dict:
    """Return what a prepared dataset holds."""
    if dataset.features is None:  # a stream
        return {"features": None, "rows": list(dataset)}
    return {
        "features": {name: str(kind) for name, kind in dataset.features.items()},
        "rows": dataset.to_dict(),
    }


def main(world: str, folder: Path, out: Path, names: list[str]) -> None:
    libs, results = libraries(world), {}
    for name in names:
        place = out.parent / f"{world}-{name}"
        shutil.rmtree(place, ignore_errors=True)
        trainer = CASES[name](libs, folder, place)
        trainer.save_model(str(place / "final"))
        results[name] = {
            "log": trainer.state.log_history,
            "data": columns(trainer.train_dataset),
            "files": sorted(p.name for p in (place / "final").iterdir()),
        }
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:] or list(CASES))
