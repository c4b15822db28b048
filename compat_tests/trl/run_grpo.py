"""GRPO runs that are alike on trl and on its mirror; each leaves its log.

``python run_grpo.py torch|paddle FOLDER OUT.json CASE...``; FOLDER holds the models of `write`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import trl_samples as samples
from run_trl import LORA, SETTINGS, libraries

GRPO = {
    **{"max_steps": 4, "num_generations": 4, "per_device_train_batch_size": 8},
    **{"max_completion_length": 8, "learning_rate": 5e-3, "logging_steps": 1},
}


def write(folder: Path) -> Path:
    """Let the original write models of clear preferences: llama, mixture, gpt2, two scorers.

    Completions may end with any of 30 tokens, so that some do and some do not.
    """
    import torch
    import transformers

    sizes = {**samples.SIZES, "initializer_range": 0.2}
    shapes = {"llama": transformers.LlamaConfig(**sizes)}
    shapes["mixtral"] = transformers.MixtralConfig(num_local_experts=4, **sizes)
    # Its dropout draws from the same stream as its completions.
    shapes["gpt2"] = transformers.GPT2Config(
        vocab_size=330, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2,
        eos_token_id=2, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    for name, config in shapes.items():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        model.generation_config.eos_token_id = list(range(2, 32))
        model.save_pretrained(folder / name)
        samples.write_tokenizer(folder / name)
    for seed, name in enumerate(["scorer", "judge"]):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(num_labels=1, **sizes)
        transformers.LlamaForSequenceClassification(config).save_pretrained(folder / name)
        samples.write_tokenizer(folder / name)
    return folder


def data(chat: bool = False, count: int = 22, seed: int = 0):
    """Return prompts with a column for the reward functions."""
    import datasets

    rows = samples.rows("chat-completion" if chat else "completion", count, seed)
    wanted = [sum(map(ord, str(row["completion"]))) % 7 for row in rows]
    rows = [{"prompt": r["prompt"], "wanted": w} for r, w in zip(rows, wanted, strict=True)]
    return datasets.Dataset.from_list(rows)


def text_of(completion) -> str:
    return completion if isinstance(completion, str) else completion[0]["content"]


def near_wanted(prompts, completions, wanted, completion_ids, **kwargs):
    """Reward lengths near the column's, and letters a."""
    assert len(prompts) == len(completions) == len(wanted) == len(completion_ids)
    pairs = zip(completions, wanted, completion_ids, strict=True)
    return [text_of(c).count("a") - abs(len(ids) - w) / 4 for c, w, ids in pairs]


def vowels(completions, log_extra, log_metric, trainer_state, **kwargs):
    """None for some; logs a column and a metric; changes with the step."""
    found = [sum(text_of(c).count(v) for v in "aeiou") for c in completions]
    log_extra("vowels", found)
    log_metric("most__vowels", max(found))
    weight = 1 + 0.1 * trainer_state.global_step
    return [None if n % 3 == 2 else n * weight for n in found]


async def late(completions, **kwargs):
    await asyncio.sleep(0.01)
    return [len(set(text_of(c))) / 8 for c in completions]


def rarely(completions, **kwargs):
    """None for whole batches at times."""
    odd = sum(len(text_of(c)) for c in completions) % 2
    return [None if odd else 1.0 * len(text_of(c)) for c in completions]


def same(completions, **kwargs):
    return [1.0] * len(completions)


def power(completions, exponent, **kwargs):
    return [len(text_of(c)) ** exponent / 10 for c in completions]


class Counter:
    async def __call__(self, completion_ids, **kwargs):
        return [len(ids) / 4 for ids in completion_ids]


def grpo(libs, folder, out, rewards=near_wanted, adapter=None, chat=False, tests=0, **settings):
    """``settings`` may hold arguments of the trainer under ``trainer``."""
    extra = dict(settings.pop("trainer", {}))
    if adapter is not None:
        extra["peft_config"] = libs.peft.LoraConfig(task_type="CAUSAL_LM", **adapter)
    if tests:
        extra["eval_dataset"] = data(chat, tests, 1)
        settings = {"eval_strategy": "steps", "eval_steps": 2, **settings}
    trainer = libs.trl.GRPOTrainer(
        model=extra.pop("model", str(folder / "llama")),
        reward_funcs=rewards,
        args=libs.trl.GRPOConfig(str(out), **{**SETTINGS, **GRPO, **settings}),
        train_dataset=extra.pop("train_dataset", None) or data(chat),
        **extra,
    )
    trainer.train()
    return trainer


def modelled(libs, folder, out, chat=False):
    """A reward model by name, one as an object with its tokenizer, and a function."""
    hf = import_module(libs.hf)
    judge = hf.AutoModelForSequenceClassification.from_pretrained(folder / "judge", num_labels=1)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "judge")
    return grpo(
        *(libs, folder, out, [str(folder / "scorer"), judge, near_wanted]),
        chat=chat,
        reward_weights=[1.0, 0.5, 0.25],
        trainer={"reward_processing_classes": [None, tokenizer, None]},
    )


def adapted(libs, folder, out):
    """An adapter that is trained further: the reference is a copy of what it was."""
    hf = import_module(libs.hf)
    model = hf.AutoModelForCausalLM.from_pretrained(folder / "llama")
    config = {**LORA, "init_lora_weights": False, "task_type": "CAUSAL_LM"}
    hf.set_seed(3)
    model = libs.peft.get_peft_model(model, libs.peft.LoraConfig(**config))
    return grpo(libs, folder, out, beta=0.1, trainer={"model": model})


def with_prefix(libs, folder, out, kind="PrefixTuningConfig", **settings):
    config = getattr(libs.peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=3)
    return grpo(libs, folder, out, trainer={"peft_config": config}, **settings)


def dropped(libs, folder, out, **settings):
    return grpo(libs, folder, out, trainer={"model": str(folder / "gpt2")}, **settings)


def several_tests(libs, folder, out):
    tests = {"a": data(count=4, seed=1), "b": data(count=3, seed=2)}
    more = {"eval_strategy": "steps", "eval_steps": 2, "num_generations_eval": 1}
    return grpo(libs, folder, out, trainer={"eval_dataset": tests}, **more)


def evaluated(libs, folder, out):
    trainer = grpo(libs, folder, out, max_steps=2, num_generations_eval=2)
    trainer.evaluate(data(False, 6, 3))
    return trainer


def experts(libs, folder, out):
    model = str(folder / "mixtral")
    return grpo(libs, folder, out, trainer={"model": model}, router_aux_loss_coef=0.1)


def streamed(libs, folder, out):
    stream = data().to_iterable_dataset()
    return grpo(libs, folder, out, trainer={"train_dataset": stream}, accelerator_config={})


# Batches that serve several updates, so that ratios move.
STALE = {"steps_per_generation": 2, "num_iterations": 2, "max_steps": 6}
MOVING = {**STALE, "epsilon": 0.05}
NARROW = {**STALE, "epsilon": 0.01}
KINDS = "grpo dr_grpo bnpo dapo cispo sapo luspo vespo".split()
CASES = {
    "plain": lambda *a: grpo(*a, tests=9),
    "chat": lambda *a: grpo(*a, chat=True, tests=6, num_generations_eval=2),
    # Equal completions have equal rewards, so that nothing is learned.
    "greedy": lambda *a: grpo(*a, generation_kwargs={"do_sample": False}),
    "warped": lambda *a: grpo(
        *a, temperature=0.7, top_k=50, top_p=0.9, min_p=0.01, repetition_penalty=1.1
    ),
    "accumulation": lambda *a: grpo(*a, gradient_accumulation_steps=2),
    "accumulation-stale": lambda *a: grpo(
        *a, gradient_accumulation_steps=2, steps_per_generation=4
    ),
    "epochs": lambda *a: grpo(
        *a, max_steps=-1, num_train_epochs=2, trainer={"train_dataset": data(count=5)}
    ),
    "generation-batch": lambda *a: grpo(
        *a, generation_batch_size=24, per_device_train_batch_size=4, max_steps=8
    ),
    "unshuffled": lambda *a: grpo(*a, shuffle_dataset=False, logging_steps=3),
    "several": lambda *a: grpo(
        *a, [near_wanted, vowels, late, functools.partial(power, exponent=2)],
        reward_weights=[1.0, 2.0, 0.5, 0.1], tests=5,
    ),
    "several-decoupled": lambda *a: grpo(
        *a, [near_wanted, vowels, Counter()], multi_objective_aggregation="normalize_then_sum"
    ),
    "unscored": lambda *a: grpo(*a, vowels),
    "unscored-batches": lambda *a: grpo(*a, rarely, max_steps=6, logging_steps=2),
    "same": lambda *a: grpo(*a, same),
    "models": modelled,
    "models-chat": lambda *a: modelled(*a, chat=True),
    "scale-batch": lambda *a: grpo(*a, scale_rewards="batch"),
    "scale-none": lambda *a: grpo(*a, scale_rewards=False),
    "beta": lambda *a: grpo(*a, beta=0.1, **STALE),
    "beta-biased": lambda *a: grpo(*a, beta=0.1, use_bias_correction_kl=False),
    "synced": lambda *a: grpo(*a, beta=0.1, sync_ref_model=True, ref_model_sync_steps=2),
    "lora": lambda *a: grpo(*a, adapter=LORA, gradient_checkpointing=True, learning_rate=2e-2),
    "lora-beta": lambda *a: grpo(*a, adapter=LORA, beta=0.1, chat=True, **STALE),
    "lora-dropout": lambda *a: grpo(*a, adapter={**LORA, "lora_dropout": 0.2}),
    "adapted": adapted,
    "masked": lambda *a: grpo(*a, mask_truncated_completions=True, beta=0.1),
    "entropy-quantile": lambda *a: grpo(*a, top_entropy_quantile=0.3, **STALE),
    "entropy-bonus": lambda *a: grpo(*a, entropy_coef=0.1, top_entropy_quantile=0.5),
    "entropy-adaptive": lambda *a: grpo(
        *a, use_adaptive_entropy=True, entropy_coef=0.1, entropy_target=5.15,
        entropy_coef_delta=0.02, gradient_accumulation_steps=2, max_steps=6,
    ),
    "stale": lambda *a: grpo(*a, **STALE),
    "off-policy": lambda *a: grpo(*a, off_policy_mask_threshold=0.01, **STALE),
    "delta": lambda *a: grpo(*a, delta=1.02, epsilon_high=0.3, **STALE),
    "cispo-bound": lambda *a: grpo(*a, loss_type="cispo", epsilon_high=1.05, **STALE),
    "experts": experts,
    "streamed": streamed,
    "evaluated": evaluated,
    "several-tests": several_tests,
    "dropout": dropped,
    "dropout-off": lambda *a: dropped(*a, disable_dropout=True, beta=0.1),
    "prefix-tuning": lambda *a: with_prefix(*a, beta=0.1),
    "prompt-tuning": lambda *a: with_prefix(*a, "PromptTuningConfig"),
    "beams": lambda *a: grpo(*a, generation_kwargs={"num_beams": 2}),
    "checkpointing": lambda *a: grpo(*a, gradient_checkpointing=True, beta=0.1, **STALE),
    "padded": lambda *a: grpo(*a, pad_to_multiple_of=16),
    "completions": lambda *a: grpo(*a, vowels, log_completions=True, chat=True),
    **{f"kind-{k}": lambda *a, k=k: grpo(*a, loss_type=k, **MOVING) for k in KINDS},
    **{
        f"sequence-{k}": lambda *a, k=k: grpo(
            *a, loss_type=k, importance_sampling_level="sequence", beta=0.05, **NARROW
        )
        for k in ("grpo", "dapo", "luspo", "sapo", "cispo")
    },
}  # fmt: skip


def table(folder: Path):
    """Return the last parquet file of completions."""
    import pandas

    files = sorted(folder.glob("completions/*.parquet"))
    if not files:
        return None
    frame = pandas.read_parquet(files[-1])
    return {"file": files[-1].name, **json.loads(frame.to_json(orient="columns"))}


def main(world: str, folder: Path, out: Path, names: list[str]) -> None:
    libs, results = libraries(world), {}
    for name in names:
        place = out.parent / f"{world}-{name}"
        shutil.rmtree(place, ignore_errors=True)
        trainer = CASES[name](libs, folder, place)
        results[name] = {"log": trainer.state.log_history, "completions": table(place)}
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:] or list(CASES))
