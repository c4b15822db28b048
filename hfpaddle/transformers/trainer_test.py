"""The Trainer without torch: what scripts override, and what they are told when it goes wrong."""

from __future__ import annotations

import json
import os

import numpy as np
import paddle
import pytest
import transformers

import hfpaddle.transformers as hf
from hfpaddle.core import rng
from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError

pytestmark = pytest.mark.unit

VOCABULARY = 30


class Rows:
    """Random token rows of one length, with labels."""

    def __init__(self, count=12, length=6, seed=0):
        random = np.random.default_rng(seed)
        ids = random.integers(1, VOCABULARY, (count, length)).tolist()
        self.rows = [{"input_ids": row, "labels": row} for row in ids]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Stream:
    """Rows that can only be read in order."""

    def __iter__(self):
        return iter(Rows().rows)


def model():
    hf.set_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
    )
    return hf.LlamaForCausalLM(config)


@pytest.fixture
def make(tmp_path):
    def build(cls=hf.Trainer, net=None, eval_dataset=None, callbacks=None, data=None, **kwargs):
        names = ("model_init", "compute_metrics", "compute_loss_func", "optimizers")
        direct = {k: kwargs.pop(k) for k in names if k in kwargs}
        settings = {
            **{"num_train_epochs": 1, "per_device_train_batch_size": 4, "logging_steps": 1},
            **{"save_strategy": "no", "use_cpu": True, "disable_tqdm": True},
            **kwargs,
        }
        net = None if "model_init" in direct else (net or model())
        return cls(
            model=net,
            args=hf.TrainingArguments(str(tmp_path / "out"), **settings),
            train_dataset=Rows() if data is None else data,
            eval_dataset=eval_dataset,
            callbacks=callbacks,
            **direct,
        )

    return build


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_train_learns_and_says_so(make):
    trainer = make(num_train_epochs=10, learning_rate=1e-2)
    output = trainer.train()
    found = losses(trainer)
    assert output.global_step == len(found) == 30
    assert found[-1] < found[0] - 0.5
    assert output.training_loss == pytest.approx(np.mean(found), rel=1e-5)
    assert output.metrics["train_samples_per_second"] > 0
    assert trainer.state.total_flos > 0


def test_compute_loss_may_be_overridden(make):
    class Doubled(hf.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(**inputs)
            loss = outputs.loss * 2
            return (loss, outputs) if return_outputs else loss

    plain, doubled = make(max_steps=1), make(Doubled, max_steps=1)
    plain.train(), doubled.train()
    assert losses(doubled)[0] == pytest.approx(2 * losses(plain)[0], rel=1e-5)


def test_compute_loss_func(make):
    seen = []

    def loss(outputs, labels, num_items_in_batch):
        seen.append(int(num_items_in_batch))
        return outputs.logits.mean()

    make(compute_loss_func=loss, gradient_accumulation_steps=3).train()
    assert seen == [60, 60, 60]  # 12 rows of 6, whose first label has nothing before it


def test_early_stopping(make):
    trainer = make(
        eval_dataset=Rows(4, seed=1),
        callbacks=[transformers.EarlyStoppingCallback(early_stopping_patience=1)],
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        learning_rate=5.0,
        num_train_epochs=20,
        load_best_model_at_end=True,
        save_total_limit=1,
    )
    trainer.train()
    assert trainer.state.global_step < 60
    evals = [e["eval_loss"] for e in trainer.state.log_history if "eval_loss" in e]
    assert trainer.state.best_metric == min(evals)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(evals), rel=1e-6)
    assert os.listdir(trainer.args.output_dir) == [f"checkpoint-{trainer.state.best_global_step}"]


def test_streams_need_max_steps(make):
    with pytest.raises(ValueError, match="max_steps"):
        make(data=Stream())
    trainer = make(data=Stream(), max_steps=5)
    assert trainer.train().global_step == 5


def test_several_evaluation_sets_and_metrics(make):
    trainer = make(
        eval_dataset={"a": Rows(4, seed=1), "b": Rows(6, seed=2)},
        compute_metrics=lambda p: {"rows": len(p.predictions), "shape": p.label_ids.shape[1]},
        per_device_eval_batch_size=4,
    )
    metrics = trainer.evaluate()
    assert (metrics["eval_a_rows"], metrics["eval_b_rows"], metrics["eval_b_shape"]) == (4, 6, 6)
    output = trainer.predict(Rows(5, seed=3))
    assert output.predictions.shape == (5, 6, VOCABULARY)
    assert output.metrics["test_rows"] == 5


def test_metrics_files(make, capsys):
    trainer = make(max_steps=1)
    metrics = trainer.train().metrics
    trainer.log_metrics("train", metrics)
    trainer.save_metrics("train", metrics)
    trainer.save_metrics("eval", {"eval_loss": 1.0})
    trainer.save_state()
    folder = trainer.args.output_dir
    with open(os.path.join(folder, "all_results.json")) as file:
        assert json.load(file) == {**metrics, "eval_loss": 1.0}
    assert {"train_results.json", "eval_results.json", "trainer_state.json"} < set(
        os.listdir(folder)
    )
    assert "***** train metrics *****" in capsys.readouterr().out


def test_model_init_starts_anew(make):
    trainer = make(model_init=model, max_steps=2)
    trainer.train()
    first = losses(trainer)
    trainer.train()
    assert losses(trainer) == first
    with pytest.raises(RuntimeError, match="model"):
        hf.Trainer(args=trainer.args)


def test_memory_that_runs_out_shrinks_the_batch(make):
    class Small(hf.Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            if len(inputs["input_ids"]) > 2:
                raise RuntimeError("ResourceExhaustedError: Out of memory error on GPU 0")
            return super().training_step(model, inputs, num_items_in_batch)

    trainer = make(Small, auto_find_batch_size=True)
    assert trainer.train().global_step == 6


def test_a_full_disk_leaves_the_last_checkpoint_whole(make, monkeypatch):
    trainer = make(save_strategy="steps", save_steps=1)
    from hfpaddle.transformers import trainer_checkpoint

    real = trainer_checkpoint.write_state

    def full(folder, name, state):
        if trainer.state.global_step == 2 and name == "progress":
            raise OSError(28, "No space left on device")
        real(folder, name, state)

    monkeypatch.setattr(trainer_checkpoint, "write_state", full)
    with pytest.raises(CheckpointError, match="checkpoint-2.*No space left.*resume"):
        trainer.train()
    assert os.listdir(trainer.args.output_dir) == ["checkpoint-1"]
    monkeypatch.undo()
    again = make(save_strategy="steps", save_steps=1)
    assert again.train(resume_from_checkpoint=True).global_step == 3


def test_what_does_not_fit_a_checkpoint_is_told(make):
    with pytest.raises(ValueError, match="No valid checkpoint"):
        make().train(resume_from_checkpoint=True)
    make(max_steps=1, save_strategy="steps", save_steps=1).train()
    net = model()
    net.model.embed_tokens.weight.stop_gradient = True
    with pytest.raises(CheckpointError, match="parameters"):
        make(net=net).train(resume_from_checkpoint=True)
    with pytest.raises(UnsupportedArgumentError, match="adamw_8bit.*adamw_torch"):
        make(optim="adamw_8bit").train()


def test_gradients_are_clipped_to_the_norm():
    from hfpaddle.transformers.trainer_optimizer import clip_gradients

    weights = [paddle.to_tensor([3.0], stop_gradient=False) for _ in range(2)]
    (weights[0] * 3 + weights[1] * 4).sum().backward()
    assert float(clip_gradients(weights, 1.0)) == pytest.approx(5.0)
    assert [w.grad.item() for w in weights] == pytest.approx([0.6, 0.8], rel=1e-5)
    assert float(clip_gradients(weights, None)) == pytest.approx(1.0, rel=1e-5)


def test_save_model_is_read_back(make):
    trainer = make(max_steps=2)
    trainer.train()
    trainer.save_model()
    read = hf.LlamaForCausalLM.from_pretrained(trainer.args.output_dir)
    for name, tensor in trainer.model.state_dict().items():
        assert bool((read.state_dict()[name] == tensor).all())


class Hiding:
    """A collator that draws from each random stream."""

    def __call__(self, features):
        import random

        batch = hf.default_data_collator(features)
        ids = batch["input_ids"].numpy().copy()
        ids[np.random.rand(*ids.shape) < 0.2] = random.randrange(1, VOCABULARY)
        ids[rng.default_generator.bernoulli(0.1, ids.shape)] = 1
        return {**batch, "input_ids": paddle.to_tensor(ids)}


@pytest.mark.parametrize("kind", ["random", "unseeded", "group_by_length", "sequential", "stream"])
@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_resuming_is_as_if_nothing_had_happened(make, kind, stop):
    """Steps 1 and 2 are within an epoch of 3 steps, 3 is its end, and all are logged by twos."""
    settings = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 1}
    settings |= {"logging_steps": 2, "learning_rate": 1e-2, "eval_strategy": "epoch"}
    data = None
    if kind == "unseeded":
        settings["accelerator_config"] = {"use_seedable_sampler": False}
    elif kind == "stream":
        data, settings["max_steps"] = Stream(), 9
    elif kind != "random":
        settings["train_sampling_strategy"] = kind

    def build():
        net = model()
        net.model.layers[0].register_forward_post_hook(drop)
        trainer = make(net=net, data=data, eval_dataset=Rows(4, seed=1), **settings)
        trainer.data_collator = Hiding()
        return trainer

    def drop(layer, inputs, output):
        return paddle.nn.functional.dropout(output, 0.1, training=layer.training)

    whole = build()
    whole.train()
    folder = os.path.join(whole.args.output_dir, f"checkpoint-{stop}")
    again = build()
    again.train(resume_from_checkpoint=folder)

    def told(trainer):
        kept = ("loss", "eval_loss", "grad_norm", "learning_rate", "epoch", "step")
        return [{k: e[k] for k in kept if k in e} for e in trainer.state.log_history]

    assert told(again) == told(whole)
    for name, tensor in whole.model.state_dict().items():
        assert bool((again.model.state_dict()[name] == tensor).all()), name
