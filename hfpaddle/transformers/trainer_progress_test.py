"""The bar of a run: what stands behind it, and that it changes nothing else."""

from __future__ import annotations

import re

import numpy as np
import paddle
import pytest
import transformers

import hfpaddle.transformers as hf
from hfpaddle.transformers import trainer_progress

pytestmark = pytest.mark.unit

LENGTHS = (2, 6, 3, 5, 8, 4)  # two a batch: 16 tokens, of which 8, 8 and 12 of 12, 10, 16


class Rows:
    def __init__(self):
        random = np.random.default_rng(0)
        self.rows = [{"input_ids": random.integers(1, 30, n).tolist()} for n in LENGTHS]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def padded(features):
    width = max(len(f["input_ids"]) for f in features)
    rows = [(f["input_ids"], width - len(f["input_ids"])) for f in features]
    return {
        "input_ids": paddle.to_tensor([ids + [0] * more for ids, more in rows]),
        "attention_mask": paddle.to_tensor([[1] * len(ids) + [0] * more for ids, more in rows]),
        "labels": paddle.to_tensor([ids + [-100] * more for ids, more in rows]),
    }


class Shown(hf.TrainerCallback):
    """Keep what stands behind the bar after each step."""

    def __init__(self):
        self.texts, self.written = [], []

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = self.progress.training_bar
        if self.bar is not None:
            self.bar.write = self.written.append

    def on_step_end(self, args, state, control, **kwargs):
        self.texts.append(self.bar.postfix)


@pytest.fixture
def run(tmp_path):
    def train(collate=padded, callbacks=(), **settings):
        hf.set_seed(1)
        config = transformers.LlamaConfig(
            vocab_size=30,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=0,
        )
        settings = {
            **{"max_steps": 3, "per_device_train_batch_size": 2, "logging_steps": 100},
            **{"train_sampling_strategy": "sequential", "save_strategy": "no", "use_cpu": True},
            **{"report_to": "none", "disable_tqdm": False, **settings},
        }
        trainer = hf.Trainer(
            hf.LlamaForCausalLM(config),
            hf.TrainingArguments(str(tmp_path / "out"), **settings),
            train_dataset=Rows(),
            data_collator=collate,
            callbacks=list(callbacks),
        )
        bars = [c for c in trainer.callback_handler.callbacks if isinstance(c, hf.ProgressCallback)]
        for callback in callbacks:
            callback.progress = bars[0] if bars else None
        if callbacks and bars:  # what is looked at comes first
            trainer.remove_callback(callbacks[0])
            trainer.add_callback(callbacks[0])
        trainer.train()
        return trainer

    return train


def steps_losses(run):
    history = run(logging_steps=1, disable_tqdm=True).state.log_history
    return [entry["loss"] for entry in history if "loss" in entry]


def test_each_reading_shows_loss_speed_and_real_tokens(run, monkeypatch):
    losses = steps_losses(run)
    monkeypatch.setattr(trainer_progress, "PERIOD", 0.0)
    shown = Shown()
    run(callbacks=[shown])
    found = [re.fullmatch(r"loss (\S+), ([\d,]+) tok/s, (\d+)% real", t) for t in shown.texts]
    assert all(found), shown.texts
    assert [f[1] for f in found] == [f"{loss:.4g}" for loss in losses]
    assert [int(f[3]) for f in found] == [67, 80, 75]
    assert all(int(f[2].replace(",", "")) > 0 for f in found)


def test_speed_counts_real_tokens_of_the_time_since_the_last_reading(run, monkeypatch):
    clock = iter(range(0, 10**6, 2))  # each look at it is two seconds after the last
    monkeypatch.setattr(trainer_progress, "PERIOD", 0.0)
    monkeypatch.setattr(trainer_progress.time, "perf_counter", lambda: 0.0)
    bar = hf.ProgressCallback()
    state = transformers.TrainerState(is_world_process_zero=True, max_steps=2)
    bar.on_train_begin(None, state, None)
    monkeypatch.setattr(trainer_progress.time, "perf_counter", lambda: float(next(clock)))
    bar._restart()  # at 0
    bar.on_batch(padded(Rows().rows[:2]), paddle.to_tensor(1.5), "input_ids", 0)
    bar.on_batch(padded(Rows().rows[2:4]), paddle.to_tensor(1.0), "input_ids", 0)
    bar._shown_loss = ""
    state.global_step = 1
    bar.on_step_end(None, state, None)  # reads at 2
    assert bar.training_bar.postfix == "loss 2.5, 8 tok/s, 73% real"
    bar.on_train_end(None, state, None)


def test_between_readings_nothing_is_read(run, monkeypatch):
    losses = steps_losses(run)
    monkeypatch.setattr(trainer_progress, "PERIOD", 3600.0)
    reads = []
    monkeypatch.setattr(hf.ProgressCallback, "_read", counted(reads, hf.ProgressCallback._read))
    shown = Shown()
    run(callbacks=[shown])
    assert len(reads) == 1  # of the first step
    assert all(text.startswith(f"loss {losses[0]:.4g}, ") for text in shown.texts)
    shown = Shown()
    run(callbacks=[shown], logging_steps=2)
    assert shown.texts[2].startswith(f"loss {(losses[0] + losses[1]) / 2:.4g}, ")


def counted(calls, function):
    def wrapper(self):
        calls.append(1)
        return function(self)

    return wrapper


def test_the_bar_changes_no_logs(run):
    kinds = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    shown = Shown()
    logs = []
    for trainer in (
        run(logging_steps=1, disable_tqdm=True),
        run(logging_steps=1, callbacks=[shown]),
    ):
        history = trainer.state.log_history
        logs.append([{k: v for k, v in row.items() if k not in kinds} for row in history])
    assert logs[0] == logs[1]
    assert set(logs[0][0]) == {"loss", "grad_norm", "learning_rate", "epoch", "step"}
    assert len(shown.written) == 4 and "tok/s" not in "".join(shown.written)


def test_without_a_bar_nothing_is_counted(run, monkeypatch):
    def refuse(*args):
        raise AssertionError("counted")

    monkeypatch.setattr(trainer_progress, "count_tokens", refuse)
    run(disable_tqdm=True)
    with pytest.raises(AssertionError, match="counted"):
        run()


def test_what_counts_as_real():
    ids = paddle.to_tensor([[5, 6, 0], [7, 0, 0]])
    count = trainer_progress.count_tokens
    mask = paddle.to_tensor([[1, 1, 1], [1, 0, 0]])
    flat = paddle.to_tensor([[0, 1, 0]])

    def read(batch, pad=None):
        real, every = count(batch, "input_ids", pad)
        return int(real), every

    assert read({"input_ids": ids, "attention_mask": mask}, pad=0) == (4, 6)
    assert read({"input_ids": ids}, pad=0) == (3, 6)
    assert read({"input_ids": ids}) == (6, 6)
    # Packed samples have no padding, whatever token ends them.
    assert read({"input_ids": ids[:1], "position_ids": flat}, pad=0) == (3, 3)
    assert read({"input_ids": ids, "attention_mask": mask.unsqueeze(1)}, pad=0) == (6, 6)
    assert count({"pixel_values": paddle.zeros([1, 3, 4, 4])}, "pixel_values", 0) is None
    assert count((ids,), "input_ids", 0) is None


def test_a_batch_without_tokens_shows_its_loss(run, monkeypatch):
    monkeypatch.setattr(trainer_progress, "PERIOD", 0.0)
    monkeypatch.setattr(trainer_progress, "count_tokens", lambda *args: None)
    shown = Shown()
    run(callbacks=[shown])
    assert all(re.fullmatch(r"loss \S+", text) for text in shown.texts)


def test_names_of_the_original(run):
    assert issubclass(hf.ProgressCallback, transformers.ProgressCallback)
    from hfpaddle.transformers.trainer_callback import ProgressCallback

    assert ProgressCallback is hf.ProgressCallback

    class Own(transformers.ProgressCallback):
        """A bar of the user's, of the original's class."""

    trainer = run(callbacks=[])
    assert isinstance(trainer.pop_callback(transformers.ProgressCallback), hf.ProgressCallback)
    trainer.add_callback(Own)
    assert trainer.train().global_step == 3
