"""Training scripts that run alike on both libraries; each leaves what it logged.

``python run_training.py torch|paddle FOLDER OUT.json CASE...`` runs the cases in one process.
FOLDER holds the checkpoints ``llama`` and ``bert``, both with a tokenizer.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

WORDS = "the a cat dog sat ran on mat under big small red blue tree house and then it was".split()


class Examples:
    """Sentences of random words and lengths, encoded; the same for the same seed."""

    def __init__(self, tokenizer, count, seed, label=None):
        random = np.random.default_rng(seed)
        self.rows = []
        for _ in range(count):
            text = " ".join(random.choice(WORDS, random.integers(3, 12)))
            row = dict(tokenizer(text))
            row.pop("token_type_ids", None)
            if label:
                row["label"] = int(text.count("cat") > text.count("dog"))
            self.rows.append(row)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def accuracy(prediction):
    logits, labels = prediction
    return {"accuracy": float((np.argmax(logits, -1) == labels).mean())}


def causal(hf, folder, out, count=22, resume=None, callbacks=(), train=True, **kwargs):
    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "llama")
    model = hf.AutoModelForCausalLM.from_pretrained(folder / "llama")
    settings = {
        **{"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 5e-3},
        **{"logging_steps": 1, "save_strategy": "no", "use_cpu": True, "seed": 11},
        **{"report_to": "none", "disable_tqdm": True},
        **kwargs,
    }
    collator = settings.pop("collator", None) or hf.DataCollatorForLanguageModeling(
        tokenizer, mlm=False
    )
    data = Examples(tokenizer, count, 0)
    trainer = hf.Trainer(
        model=model,
        args=hf.TrainingArguments(str(out), **settings),
        data_collator=collator,
        train_dataset=data,
        eval_dataset=Examples(tokenizer, 10, 1),
        callbacks=list(callbacks),
    )
    if train:
        trainer.train(resume_from_checkpoint=resume)
    return trainer


def classified(hf, folder, out, **kwargs):
    import datasets

    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "bert")
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder / "bert")
    sets = [
        datasets.Dataset.from_list(Examples(tokenizer, n, seed, True).rows).add_column(
            "unused", ["x"] * n
        )
        for n, seed in ((22, 0), (10, 1))
    ]
    settings = {
        **{"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 5e-3},
        **{"logging_steps": 1, "save_strategy": "no", "use_cpu": True, "seed": 3},
        **{"report_to": "none", "disable_tqdm": True, "per_device_eval_batch_size": 4},
        **kwargs,
    }
    trainer = hf.Trainer(
        model=model,
        args=hf.TrainingArguments(str(out), **settings),
        train_dataset=sets[0],
        eval_dataset=sets[1],
        processing_class=tokenizer,
        compute_metrics=accuracy,
    )
    trainer.train()
    return trainer


def masked(hf, folder, out, **kwargs):
    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "bert")
    model = hf.AutoModelForMaskedLM.from_pretrained(folder / "bert-masked")
    settings = {
        **{"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 5e-3},
        **{"logging_steps": 1, "save_strategy": "no", "use_cpu": True, "seed": 5},
        **{"report_to": "none", "disable_tqdm": True, "eval_strategy": "epoch"},
        **kwargs,
    }
    trainer = hf.Trainer(
        model=model,
        args=hf.TrainingArguments(str(out), **settings),
        data_collator=hf.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.3),
        train_dataset=Examples(tokenizer, 22, 0),
        eval_dataset=Examples(tokenizer, 10, 1),
    )
    trainer.train()
    return trainer


def resumed(hf, folder, out):
    """Stop after step 5, resume from the checkpoint there, in a new trainer."""

    class Stop(hf.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 5
            control.should_save = state.global_step == 5
            return control

    causal(hf, folder, out, callbacks=[Stop()])
    return causal(hf, folder, out, resume=True)


def best(hf, folder, out):
    trainer = classified(
        hf,
        folder,
        out,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=3,
        save_steps=3,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        save_total_limit=1,
    )
    trainer.state.log_history.append(trainer.evaluate())
    return trainer


class Flat:
    """The examples of ``rows`` as they are, with labels equal to the inputs."""

    def __init__(self, rows):
        self.rows = [{"input_ids": r["input_ids"], "labels": r["input_ids"]} for r in rows]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def packed(hf, folder, out):
    """Sequences joined into one row: position ids restart, attention stays within each."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "llama")
    trainer = causal(
        hf, folder, out, collator=hf.DataCollatorWithFlattening(), train=False, max_grad_norm=0.5
    )
    trainer.train_dataset = Flat(Examples(tokenizer, 22, 0).rows)
    trainer.train()
    return trainer


def sequences(hf, folder, out, **kwargs):
    """Reverse a sentence; evaluation generates."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "t5")
    model = hf.AutoModelForSeq2SeqLM.from_pretrained(folder / "t5")
    sets = [Examples(tokenizer, 22, 0), Examples(tokenizer, 10, 1)]
    for data in sets:
        for row in data.rows:
            row["labels"] = row["input_ids"][::-1][:8]

    def tokens(prediction):
        predictions, labels = prediction
        return {"sum": float(predictions.sum()), "width": predictions.shape[1], "n": len(labels)}

    settings = {
        **{"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 5e-3},
        **{"logging_steps": 1, "save_strategy": "no", "use_cpu": True, "seed": 3},
        **{"report_to": "none", "disable_tqdm": True, "per_device_eval_batch_size": 4},
        **{"predict_with_generate": True, "eval_strategy": "epoch", "generation_max_length": 12},
        **kwargs,
    }
    trainer = hf.Seq2SeqTrainer(
        model=model,
        args=hf.Seq2SeqTrainingArguments(str(out), **settings),
        data_collator=hf.DataCollatorForSeq2Seq(tokenizer, model=model),
        train_dataset=sets[0],
        eval_dataset=sets[1],
        processing_class=tokenizer,
        compute_metrics=tokens,
    )
    trainer.train()
    result = trainer.predict(sets[1], num_beams=2, max_length=9)
    trainer.state.log_history.append({**result.metrics, "step": -1})
    shape = dict(enumerate(result.predictions.shape))
    trainer.state.log_history.append({f"axis {i}": n for i, n in shape.items()})
    first = dict(enumerate(result.predictions[0].tolist()))
    trainer.state.log_history.append({f"token {i}": t for i, t in first.items()})
    return trainer


def streamed(hf, folder, out):
    """Shuffled streams of the package datasets, for training and evaluation."""
    import datasets

    def stream(trainer, seed):
        rows = [{**row, "unused": "x"} for row in trainer.train_dataset.rows]
        data = datasets.Dataset.from_list(rows).to_iterable_dataset(num_shards=2)
        return data.shuffle(seed=seed, buffer_size=5)

    settings = {"max_steps": 11, "eval_strategy": "steps", "eval_steps": 4}
    trainer = causal(hf, folder, out, train=False, **settings)
    trainer.eval_dataset = stream(trainer, 2)
    trainer.train_dataset = stream(trainer, 1)
    trainer.train()
    return trainer


CASES = {
    "plain": causal,
    "accumulation": lambda *a: causal(
        *a, gradient_accumulation_steps=3, max_grad_norm=0.5, weight_decay=0.1
    ),
    "smoothing": lambda *a: causal(*a, label_smoothing_factor=0.1),
    "cosine": lambda *a: causal(
        *a, lr_scheduler_type="cosine", warmup_steps=3, max_steps=8, logging_steps=2
    ),
    "length": lambda *a: causal(*a, train_sampling_strategy="group_by_length"),
    "data_seed": lambda *a: causal(*a, data_seed=99, dataloader_drop_last=True),
    "sgd": lambda *a: causal(*a, optim="sgd", optim_args="momentum=0.9", learning_rate=0.05),
    "adafactor": lambda *a: causal(*a, optim="adafactor"),
    "neftune": lambda *a: causal(*a, neftune_noise_alpha=5.0),
    "checkpointing": lambda *a: causal(*a, gradient_checkpointing=True),
    "classified": lambda *a: classified(
        *a, eval_strategy="steps", eval_steps=3, logging_first_step=True, logging_steps=4
    ),
    "classified-accumulation": lambda *a: classified(*a, gradient_accumulation_steps=2),
    "classified-smoothing": lambda *a: classified(*a, label_smoothing_factor=0.2),
    "plateau": lambda *a: classified(
        *a,
        eval_strategy="steps",
        eval_steps=1,
        lr_scheduler_type="reduce_lr_on_plateau",
        lr_scheduler_kwargs={"patience": 0},
    ),
    "masked": masked,
    "masked-accumulation": lambda *a: masked(*a, gradient_accumulation_steps=2),
    "masked-workers": lambda *a: masked(
        *a, dataloader_num_workers=2, dataloader_prefetch_factor=3, dataloader_drop_last=True
    ),
    "workers": lambda *a: causal(
        *a, dataloader_num_workers=2, dataloader_persistent_workers=True, eval_strategy="epoch"
    ),
    "workers-by-length": lambda *a: causal(
        *a, dataloader_num_workers=1, train_sampling_strategy="group_by_length"
    ),
    "sequential": lambda *a: causal(*a, train_sampling_strategy="sequential"),
    "unseeded": lambda *a: causal(*a, accelerator_config={"use_seedable_sampler": False}),
    "streamed": streamed,
    "resumed": resumed,
    "packed": packed,
    "padded": lambda *a: causal(*a, max_grad_norm=0.5),
    "sequences": sequences,
    "sequences-smoothing": lambda *a: sequences(*a, label_smoothing_factor=0.1),
    "best": best,
}


def main(world: str, folder: Path, out: Path, names: list[str]) -> None:
    if world == "torch":
        import transformers as hf
    else:
        import hfpaddle.transformers as hf
    results = {}
    for name in names:
        place = out.parent / f"{world}-{name}"
        shutil.rmtree(place, ignore_errors=True)
        trainer = CASES[name](hf, folder, place)
        results[name] = {
            "log": trainer.state.log_history,
            "files": sorted(p.name for p in place.iterdir()),
        }
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:] or list(CASES))
