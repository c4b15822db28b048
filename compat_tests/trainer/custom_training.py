"""Trainers that scripts change: losses, optimizers, metrics, overridden methods, in either library.

``python custom_training.py torch|paddle FOLDER OUT.json CASE...``; FOLDER is that of
`run_training`. What a case notes besides its log is in ``noted``.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from run_training import Examples, causal

QUIET = {
    **{"save_strategy": "no", "use_cpu": True, "report_to": "none", "disable_tqdm": True},
    **{"logging_steps": 1, "per_device_train_batch_size": 4, "learning_rate": 5e-3, "seed": 3},
    **{"per_device_eval_batch_size": 4},
}


class World:
    """A library, the torch it goes with, and the folder of checkpoints."""

    def __init__(self, name: str, folder: Path) -> None:
        paddle = name == "paddle"
        self.hf = importlib.import_module("hfpaddle.transformers" if paddle else "transformers")
        self.torch = importlib.import_module("hfpaddle.torch" if paddle else "torch")
        self.folder = folder
        self.noted: list = []

    def classifier(self):
        auto = self.hf.AutoModelForSequenceClassification
        return auto.from_pretrained(self.folder / "bert")

    def rows(self, count, seed):
        tokenizer = self.hf.AutoTokenizer.from_pretrained(self.folder / "bert")
        data = Examples(tokenizer, count, seed, True)
        for row in data.rows:
            row["labels"] = row.pop("label")
        return data

    def trainer(self, out, cls=None, model=None, **kwargs):
        direct = (
            "compute_loss_func optimizers optimizer_cls_and_kwargs compute_metrics callbacks "
            "preprocess_logits_for_metrics model_init eval_dataset"
        ).split()
        given = {k: kwargs.pop(k) for k in direct if k in kwargs}
        tokenizer = self.hf.AutoTokenizer.from_pretrained(self.folder / "bert")
        if "model_init" not in given:
            given["model"] = model or self.classifier()
        return (cls or self.hf.Trainer)(
            args=self.hf.TrainingArguments(str(out), **{"num_train_epochs": 1, **QUIET, **kwargs}),
            train_dataset=self.rows(22, 0),
            processing_class=tokenizer,
            **{"eval_dataset": self.rows(10, 1), **given},
        )


def loss_function(w, out):
    """`compute_loss_func`, with accumulation and without labels in the model's call."""

    def loss(outputs, labels, num_items_in_batch=None):
        w.noted.append(int(num_items_in_batch))
        scores = w.torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum")
        return scores / num_items_in_batch

    return w.trainer(out, compute_loss_func=loss, gradient_accumulation_steps=2)


def overridden_loss(w, out):
    class Weighted(w.hf.Trainer):
        loss_is_scaled_for_ga = False

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            weight = w.torch.tensor([1.0, 3.0])
            loss = w.torch.nn.functional.cross_entropy(outputs.logits, labels, weight=weight)
            return (loss, outputs) if return_outputs else loss

    return w.trainer(out, Weighted, gradient_accumulation_steps=3, eval_strategy="epoch")


def optimizers(w, out):
    model = w.classifier()
    groups = [
        {"params": model.bert.parameters(), "lr": 1e-3},
        {"params": model.classifier.parameters(), "lr": 1e-2, "weight_decay": 0.1},
    ]
    optimizer = w.torch.optim.AdamW(groups, lr=1e-3)
    schedule = w.torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    trainer = w.trainer(out, model=model, optimizers=(optimizer, schedule))
    trainer.train()
    w.noted += trainer.get_learning_rates()
    return trainer


def optimizer_class(w, out):
    return w.trainer(
        out,
        optimizer_cls_and_kwargs=(w.torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=2,
    )


def overridden_optimizer(w, out):
    """Decay for every parameter but those of the classifier, and a schedule of one's own."""

    class Own(w.hf.Trainer):
        def get_decay_parameter_names(self, model):
            w.noted.append(sorted(super().get_decay_parameter_names(model)))
            return [n for n, _ in model.named_parameters() if not n.startswith("classifier")]

        def create_optimizer(self, model=None):
            optimizer = super().create_optimizer(model)
            w.noted.append([len(g["params"]) for g in optimizer.param_groups])
            return optimizer

        def create_scheduler(self, num_training_steps, optimizer=None):
            self.lr_scheduler = w.torch.optim.lr_scheduler.LambdaLR(
                self.optimizer if optimizer is None else optimizer, lambda step: 0.5**step
            )
            return self.lr_scheduler

    return w.trainer(out, Own, weight_decay=0.3)


def overridden_steps(w, out):
    """Methods that people wrap: each is called as often, with the same numbers."""

    class Own(w.hf.Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            model.train()
            inputs = self._prepare_inputs(inputs)
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, inputs)
            loss = loss / self.args.gradient_accumulation_steps
            self.accelerator.backward(loss)
            w.noted.append(["step", sorted(inputs), float(loss)])
            return loss.detach()

        def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
            loss, logits, labels = super().prediction_step(
                model, inputs, prediction_loss_only, ignore_keys
            )
            w.noted.append(["prediction", list(logits.shape), list(labels.shape), float(loss)])
            return loss, logits * 2, labels

        def log(self, logs, start_time=None):
            logs["twice"] = 2 * logs.get("loss", 0.0)
            super().log(logs, start_time)

        def get_batch_samples(self, epoch_iterator, num_batches, device):
            batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
            w.noted.append(["batches", len(batches), items if items is None else int(items)])
            return batches, items

        def get_train_dataloader(self):
            loader = super().get_train_dataloader()
            w.noted.append(["loader", len(loader)])
            return loader

        def floating_point_ops(self, inputs):
            return 7

    trainer = w.trainer(
        out,
        Own,
        gradient_accumulation_steps=2,
        eval_strategy="epoch",
        compute_metrics=lambda p: {"largest": float(np.abs(p.predictions).max())},
    )
    trainer.train()
    w.noted.append(trainer.state.total_flos)
    return trainer


def own_loader(w, out):
    class Own(w.hf.Trainer):
        def get_train_dataloader(self):
            generator = w.torch.Generator()
            generator.manual_seed(5)
            data = w.torch.utils.data
            sampler = data.RandomSampler(self.train_dataset, generator=generator)
            loader = data.DataLoader(
                self.train_dataset, batch_size=6, sampler=sampler, collate_fn=self.data_collator
            )
            return self.accelerator.prepare(loader)

    return w.trainer(out, Own, num_train_epochs=2)


def metrics(w, out):
    """Predictions changed on the way, with inputs and losses; several data sets; predict."""

    def chosen(logits, labels):
        w.noted.append(["logits", list(logits.shape), list(labels.shape)])
        return logits.argmax(dim=-1)

    def computed(p):
        inputs = np.where(p.inputs < 0, 0, p.inputs)
        return {
            **{"accuracy": float((p.predictions == p.label_ids).mean())},
            **{"inputs": int(inputs.sum()), "shape": list(p.inputs.shape)},
            **{"losses": float(np.mean(p.losses)), "many": len(p.losses)},
            "kind": type(p.predictions).__name__,
        }

    trainer = w.trainer(
        out,
        preprocess_logits_for_metrics=chosen,
        compute_metrics=computed,
        include_for_metrics=["inputs", "loss"],
        eval_accumulation_steps=2,
        eval_strategy="steps",
        eval_steps=3,
        eval_dataset={"one": w.rows(10, 1), "two": w.rows(7, 2)},
    )
    trainer.train()
    result = trainer.predict(w.rows(6, 4), metric_key_prefix="final")
    w.noted += [result.predictions.tolist(), result.label_ids.tolist(), sorted(result.metrics)]
    return trainer


def batch_metrics(w, out):
    right = []

    def computed(p, compute_result):
        right.extend((p.predictions.argmax(-1) == p.label_ids).tolist())
        w.noted.append([len(p.label_ids), compute_result])
        if not compute_result:
            return {}
        found = {"accuracy": float(np.mean(right)), "n": len(right)}
        right.clear()
        return found

    return w.trainer(
        out, compute_metrics=computed, batch_eval_metrics=True, eval_strategy="steps", eval_steps=4
    )


def unjoined(w, out):
    def computed(p):
        return {"batches": len(p.predictions), "last": list(p.predictions[-1].shape)}

    return w.trainer(
        out, compute_metrics=computed, eval_do_concat_batches=False, eval_strategy="epoch"
    )


def model_init(w, out):
    def make():
        w.torch.manual_seed(7)
        model = w.classifier()
        with w.torch.no_grad():
            model.classifier.weight.copy_(w.torch.randn(model.classifier.weight.shape))
        return model

    trainer = w.trainer(out, model_init=make, max_steps=3)
    trainer.train()
    return trainer


def plain_module(w, out):
    """A model that is none of the library's, with tuples for outputs."""
    nn = w.torch.nn

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            w.torch.manual_seed(1)
            self.table = nn.Embedding(40, 8)
            self.norm = nn.LayerNorm(8)
            self.head = nn.Linear(8, 2)

        def forward(self, input_ids, attention_mask=None, labels=None):
            logits = self.head(self.norm(self.table(input_ids).mean(1)))
            loss = nn.functional.cross_entropy(logits, labels)
            return loss, logits

    return w.trainer(
        out,
        model=Small(),
        eval_strategy="epoch",
        gradient_accumulation_steps=2,
        compute_metrics=lambda p: {"shape": list(p.predictions.shape)},
    )


SCHEDULES = {
    "linear": None,
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"lr_end": 1e-4, "power": 2.0},
    "constant": None,
    "constant_with_warmup": None,
    "inverse_sqrt": {"timescale": 3},
    "cosine_with_min_lr": {"min_lr": 1e-3},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.3},
    "warmup_stable_decay": {"num_decay_steps": 2, "decay_type": "1-sqrt"},
    "greedy": {"patience": 0, "warmup": 1},
}
OPTIMIZERS = {
    "adamw_torch_fused": None,
    "adagrad": None,
    "rmsprop": None,
    "sgd": "momentum=0.9,nesterov=True",
    "adafactor": None,
}


def schedules(w, out):
    for name, options in SCHEDULES.items():
        trainer = w.trainer(
            out,
            **{"lr_scheduler_type": name, "lr_scheduler_kwargs": options, "max_steps": 5},
            **{"warmup_steps": 2, "eval_strategy": "steps", "eval_steps": 1},
        )
        trainer.train()
        rates = [e["learning_rate"] for e in trainer.state.log_history if "loss" in e]
        w.noted.append([name, rates])
    return trainer


def named_optimizers(w, out):
    for name, options in OPTIMIZERS.items():
        trainer = w.trainer(
            out, optim=name, optim_args=options, max_steps=4, weight_decay=0.1, learning_rate=1e-3
        )
        trainer.train()
        w.noted.append([name, [e["loss"] for e in trainer.state.log_history if "loss" in e]])
    return trainer


def small_memory(w, out):
    class Small(w.hf.Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            if len(inputs["input_ids"]) > 5:
                raise RuntimeError("CUDA out of memory.")
            return super().training_step(model, inputs, num_items_in_batch)

    trainer = w.trainer(out, Small, auto_find_batch_size=True, per_device_train_batch_size=8)
    trainer.train()
    w.noted.append([trainer._train_batch_size, trainer.state.train_batch_size])
    return trainer


def deterministic(w, out):
    return w.trainer(out, full_determinism=True, neftune_noise_alpha=3.0, max_grad_norm=0.1)


def counted(w, out):
    """Token-weighted accumulation: items are counted over all batches of an update."""
    return causal(
        w.hf,
        w.folder,
        out,
        train=False,
        gradient_accumulation_steps=4,
        average_tokens_across_devices=False,
        include_num_input_tokens_seen="all",
    )


def card(w, out):
    """The model card of a run, but for the versions of packages."""
    trainer = w.trainer(
        out,
        eval_strategy="steps",
        eval_steps=2,
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == 1).mean())},
        hub_model_id="someone/named",
    )
    trainer.train()
    facts = {"language": "en", "license": "mit", "finetuned_from": "tiny", "tags": ["a"]}
    trainer.create_model_card(
        model_name="named",
        tasks="text-classification",
        dataset="glue",
        dataset_tags="glue",
        **facts,
    )
    trainer.create_model_card(tags="b", **{k: v for k, v in facts.items() if k != "tags"})
    text = (out / "README.md").read_text().split("### Framework versions")[0]
    text = text.replace(out.name, "run")
    w.noted += [text.count(part) for part in ("- a", "- b", "license: mit", "base_model: tiny")]
    w.noted += [line for line in text.splitlines() if "Use " not in line and "eps" not in line]
    return trainer


CASES = [
    *(loss_function, overridden_loss, optimizers, optimizer_class, overridden_optimizer),
    *(overridden_steps, own_loader, metrics, batch_metrics, unjoined, model_init, plain_module),
    *(schedules, named_optimizers, small_memory, deterministic, counted, card),
]


def main(world: str, folder: Path, out: Path, names: list[str]) -> None:
    results = {}
    for case in CASES:
        if names and case.__name__ not in names:
            continue
        w, place = World(world, folder), out.parent / f"{world}-{case.__name__}"
        shutil.rmtree(place, ignore_errors=True)
        trainer = case(w, place)
        if not trainer.state.global_step:
            trainer.train()
        results[case.__name__] = {"log": trainer.state.log_history, "noted": w.noted}
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
