"""Scaled losses, the Accelerator of a Trainer, and disks that refuse."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import paddle
import pytest

import hfpaddle.transformers as hf
from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError
from hfpaddle.torch.amp import GradScaler
from hfpaddle.transformers.trainer_test import Rows, losses, make, model  # noqa: F401

pytestmark = pytest.mark.unit

SCALE = 2.0**10


class Scaled(hf.Trainer):
    """Scales as on a device with float16, and computes in float32: a power of two is exact."""

    overflows: tuple[int, ...] = ()

    def _make_scaler(self):
        return GradScaler("cpu", init_scale=SCALE, growth_interval=4)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if model.training and self._batch_number - 1 in self.overflows:
            loss = loss * float("inf")
        return loss


@pytest.mark.parametrize("accumulation", [1, 2])
def test_scaled_losses_change_nothing(make, accumulation):  # noqa: F811
    settings = {"gradient_accumulation_steps": accumulation, "num_train_epochs": 2}
    plain, scaled = make(**settings), make(Scaled, **settings)
    plain.train(), scaled.train()
    told = [[{k: e.get(k) for k in ("loss", "grad_norm")} for e in t.state.log_history]
            for t in (plain, scaled)]  # fmt: skip
    assert told[0] == told[1]
    for name, tensor in plain.model.state_dict().items():
        assert bool((scaled.model.state_dict()[name] == tensor).all()), name


def test_an_overflow_skips_the_step_and_the_schedule(make):  # noqa: F811
    class Overflowing(Scaled):
        overflows = (1,)

    trainer = make(Overflowing, max_grad_norm=0.0)
    rates = []
    before = {}

    class Watch(hf.TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            before["weight"] = model.lm_head.weight.clone()

        def on_optimizer_step(self, args, state, control, model=None, lr_scheduler=None, **kwargs):
            same = bool((model.lm_head.weight == before["weight"]).all())
            rates.append((state.global_step, same, lr_scheduler.get_last_lr()[0]))

    trainer.add_callback(Watch())
    trainer.train()
    assert [r[:2] for r in rates] == [(0, False), (1, True), (2, False)]
    assert rates[2][2] == rates[1][2] < rates[0][2]
    assert trainer._scaler.get_scale() == SCALE / 2


def test_the_scale_is_kept_in_checkpoints(make):  # noqa: F811
    class Overflowing(Scaled):
        overflows = (0,)

    settings = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 3}
    whole = make(Overflowing, **settings)
    whole.train()
    folder = Path(whole.args.output_dir)
    kept = [json.loads((folder / f"checkpoint-{n}/scaler.json").read_text()) for n in (1, 6)]
    assert kept[0] != kept[1]
    again = make(Overflowing, **settings)
    again.train(resume_from_checkpoint=str(folder / "checkpoint-6"))
    assert again._scaler.state_dict() == whole._scaler.state_dict()
    for name, tensor in whole.model.state_dict().items():
        assert bool((again.model.state_dict()[name] == tensor).all()), name


def test_half_precision_by_device(make, monkeypatch, caplog):  # noqa: F811
    with pytest.raises(UnsupportedArgumentError, match="float16.*bf16=True"):
        make(fp16=True)
    plain, half = make(max_steps=2), make(max_steps=2, bf16=True)
    plain.train(), half.train()
    assert losses(plain) == losses(half)  # float32 either way, and said so
    assert "the run is float32" in caplog.text
    monkeypatch.setattr(hf.TrainingArguments, "half_device", True)
    asked = []
    real = paddle.amp.auto_cast
    monkeypatch.setattr(paddle.amp, "auto_cast", lambda **k: asked.append(k["dtype"]) or real(**k))
    for name, dtype in (("fp16", "float16"), ("bf16", "bfloat16")):
        trainer = make(**{name: True})
        assert trainer.args.compute_dtype == dtype
        assert (trainer._make_scaler() is None) == (name == "bf16")
        with trainer.compute_loss_context_manager():
            assert asked[-1] == dtype


def test_the_accelerator_of_a_trainer(make):  # noqa: F811
    trainer = make(gradient_accumulation_steps=3)
    accelerator = trainer.accelerator
    assert accelerator is trainer.accelerator and accelerator.is_main_process
    assert accelerator.gradient_accumulation_steps == 1
    assert accelerator.unwrap_model(trainer.model) is trainer.model
    assert trainer.gather_function(paddle.ones([2])).tolist() == [1.0, 1.0]
    trainer.end()


def test_checkpointing_by_the_model_s_own_switch(make):  # noqa: F811
    calls = []
    net = model()
    net.activation_checkpointing_enable = lambda **kwargs: calls.append(kwargs)
    options = {"every_n_layers": 2, "use_reentrant": False}
    make(
        net=net, max_steps=1, activation_checkpointing=True, activation_checkpointing_kwargs=options
    ).train()
    kept = {"use_reentrant": False}
    assert calls == [{"activation_checkpointing_kwargs": kept, "every_n_layers": 2}]

    class Bare(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.inner = model()

        def forward(self, input_ids, labels=None):
            return self.inner(input_ids, labels=labels)

    make(net=Bare(), max_steps=1).train()
    with pytest.raises(UnsupportedArgumentError, match="Bare has no gradient_checkpointing_enable"):
        make(net=Bare(), max_steps=1, activation_checkpointing=True).train()


def test_an_output_folder_that_cannot_be_made(make, tmp_path):  # noqa: F811
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError):
        make()


def test_an_output_folder_that_is_gone(make, tmp_path):  # noqa: F811
    """A file where the folder was stands for a folder that may not be written."""

    class Replacing(hf.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 2:
                (tmp_path / "out").rename(tmp_path / "moved")
                (tmp_path / "out").write_text("a file")

    trainer = make(save_strategy="steps", save_steps=1, callbacks=[Replacing()])
    with pytest.raises(CheckpointError, match="checkpoint-2 cannot be written.*output_dir"):
        trainer.train()
    assert (tmp_path / "out").read_text() == "a file"
    (tmp_path / "out").unlink()
    again = make(save_strategy="no")
    last = tmp_path / "moved" / "checkpoint-1"
    assert again.train(resume_from_checkpoint=str(last)).global_step == 3


FILLING = """
import resource, signal, sys
from hfpaddle.transformers.trainer_test import Rows, model
import hfpaddle.transformers as hf
from hfpaddle.core.errors import CheckpointError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails with EFBIG instead

class Filling(hf.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))

args = hf.TrainingArguments(
    sys.argv[1], use_cpu=True, save_strategy="steps", save_steps=1, num_train_epochs=1,
    per_device_train_batch_size=4, report_to="none", disable_tqdm=True,
)
try:
    hf.Trainer(model(), args, train_dataset=Rows(), callbacks=[Filling()]).train()
except CheckpointError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on the size of files")
@pytest.mark.parametrize("limit", [0, 700, 9000])
def test_a_disk_without_room_leaves_the_last_checkpoint_whole(tmp_path, limit):
    """The limit falls into the config, the weights, or the optimizer's state."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-W", "ignore", "-c", FILLING, str(tmp_path / "run"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "refused: " in done.stderr and "checkpoint-2 cannot be written" in done.stderr, (
        done.stderr[-3000:]
    )
    assert os.listdir(tmp_path / "run") == ["checkpoint-1"]
    trainer = hf.Trainer(
        model(),
        hf.TrainingArguments(
            str(tmp_path / "run"),
            **{"use_cpu": True, "num_train_epochs": 1, "per_device_train_batch_size": 4},
            **{"disable_tqdm": True},
        ),
        train_dataset=Rows(),
    )
    assert trainer.train(resume_from_checkpoint=True).global_step == 3


def test_names_that_scripts_take_from_the_module(make):  # noqa: F811
    from hfpaddle.transformers import trainer as module

    trainer = make(save_strategy="steps", save_steps=3)
    trainer.train()
    files = {p.name for p in Path(trainer.args.output_dir, "checkpoint-3").iterdir()}
    names = ("TRAINER_STATE_NAME", "TRAINING_ARGS_NAME", "OPTIMIZER_NAME", "SCHEDULER_NAME")
    assert {getattr(module, name) for name in names} <= files
    assert module.PreTrainedModel is hf.PreTrainedModel
    with pytest.raises(AttributeError, match="has no attribute 'Trainr'"):
        _ = module.Trainr


@pytest.mark.parametrize("name", [kind.value for kind in hf.training_args.OptimizerNames])
def test_every_name_of_an_optimizer_works_or_is_refused(make, name):  # noqa: F811
    works = "adamw_torch adamw_torch_fused adafactor sgd adagrad rmsprop".split()
    trainer = make(optim=name, max_steps=1)
    if name in works:
        trainer.train()
        assert len(losses(trainer)) == 1
    else:
        with pytest.raises(UnsupportedArgumentError, match=f"'{name}'.*'adamw_torch'.*optimizers="):
            trainer.train()


def test_an_evaluation_without_memory_is_no_reason_to_shrink_the_batch(make):  # noqa: F811
    class Large(hf.Trainer):
        def prediction_step(self, *args, **kwargs):
            raise RuntimeError("CUDA out of memory.")

    trainer = make(Large, auto_find_batch_size=True, eval_strategy="epoch", eval_dataset=Rows(4))
    with pytest.raises(RuntimeError, match="per_device_eval_batch_size"):
        trainer.train()
    assert trainer._train_batch_size == 4


def test_arguments_that_changed_since_the_checkpoint_are_told(make, caplog):  # noqa: F811
    settings = {"save_strategy": "steps", "save_steps": 2, "max_steps": 3}
    trainer = make(**settings)
    trainer.train()
    hf.logging.get_logger("transformers.trainer_utils").addHandler(caplog.handler)
    folder = str(Path(trainer.args.output_dir, "checkpoint-2"))
    make(**{**settings, "save_steps": 3}).train(resume_from_checkpoint=folder)
    assert "save_steps: 3 (from args) != 2 (from trainer_state.json)" in caplog.text
