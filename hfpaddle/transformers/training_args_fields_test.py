"""Every field of upstream's TrainingArguments does what it says, or is listed as not doing so."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
from pathlib import Path

import numpy as np
import paddle
import pytest
import transformers

import hfpaddle.transformers as hf
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.transformers.trainer_test import Rows, losses, make, model  # noqa: F401
from hfpaddle.transformers.training_args import LEGACY, NO_EFFECT, OBSOLETE, REFUSED, RENAMED

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
BESIDE, COMPARED = "hfpaddle/transformers/", "compat_tests/trainer/"
# Fields whose effect another file's tests show: its text sets them.
ELSEWHERE = {
    COMPARED + "run_training.py": """num_train_epochs per_device_train_batch_size learning_rate
        weight_decay max_grad_norm gradient_accumulation_steps label_smoothing_factor max_steps
        lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args neftune_noise_alpha
        gradient_checkpointing per_device_eval_batch_size logging_first_step logging_steps
        train_sampling_strategy data_seed dataloader_drop_last dataloader_num_workers
        dataloader_prefetch_factor dataloader_persistent_workers accelerator_config seed use_cpu""",
    COMPARED + "record_events.py": """eval_strategy eval_steps eval_delay eval_on_start
        save_strategy save_steps save_total_limit logging_strategy include_num_input_tokens_seen
        load_best_model_at_end metric_for_best_model greater_is_better ignore_data_skip""",
    COMPARED + "custom_training.py": """include_for_metrics batch_eval_metrics full_determinism
        eval_accumulation_steps eval_do_concat_batches auto_find_batch_size
        average_tokens_across_devices""",
    COMPARED + "test_push.py": "push_to_hub hub_model_id hub_token hub_strategy hub_always_push",
    BESIDE + "trainer_surface_test.py": """bf16 fp16 activation_checkpointing
        activation_checkpointing_kwargs""",
    BESIDE + "trainer_report_test.py": "report_to run_name",
}
HERE: dict[str, list[str]] = {}


def shows(*fields):
    """Mark a test as what shows the effect of ``fields``."""

    def mark(test):
        for field in fields:
            HERE.setdefault(field, []).append(test.__name__)
        return test

    return mark


def test_every_field_is_shown_or_listed():
    fields = {f.name for f in dataclasses.fields(transformers.TrainingArguments)}
    listed = set(NO_EFFECT) | set(REFUSED)
    for path, names in ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        for name in names.split():
            assert re.search(rf'(\b{name}=|"{name}":)', text), f"{path} does not set {name}"
    shown = set(HERE) | {name for names in ELSEWHERE.values() for name in names.split()}
    assert fields - shown - listed == set()
    assert not shown & listed and shown <= fields


def table() -> list[str]:
    """The rows of docs/differences.md that the code's tables say."""
    rows = []
    for what, entries in (("raises", REFUSED), ("warns once, no effect", NO_EFFECT)):
        for why in dict.fromkeys(entries.values()):
            names = ", ".join(f"`{n}`" for n, reason in entries.items() if reason == why)
            rows.append(f"| {names} | {what}: {why} |")
    rows += [f"| `{old}` | now: `{new}` |" for old, new in RENAMED.items()]
    for why in dict.fromkeys(OBSOLETE.values()):
        names = ", ".join(f"`{n}`" for n, reason in OBSOLETE.items() if reason == why)
        rows.append(f"| {names} | warns once, no effect: {why} |")
    rest = [n for n in LEGACY if n not in RENAMED and n not in OBSOLETE and n != "past_index"]
    rows.append("| " + ", ".join(f"`{n}`" for n in sorted(rest)) + " | as in transformers 4 |")
    return [*rows, "| `save_safetensors=False`, `past_index` | raises |"]


def test_the_page_has_the_code_s_table():
    text = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    found = text.split("| argument | what happens |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
    assert found == table(), "\n".join(table())


@pytest.mark.parametrize("name", [n for n in NO_EFFECT if n != "local_rank"])
def test_what_has_no_effect_warns_once(tmp_path, caplog, name):
    warn_once.cache_clear()
    defaults = {f.name: f.default for f in dataclasses.fields(transformers.TrainingArguments)}
    other = {bool: not defaults[name], int: 7, type(None): "x"}[type(defaults[name])]
    other = {"liger_kernel_config": {}, "ddp_timeout": 7}.get(name, other)
    # With use_cpu upstream sets this one itself.
    settings = {"use_cpu": name != "dataloader_pin_memory", name: other}
    said = f"{name} has no effect: {NO_EFFECT[name]}"
    for count in (1, 1):
        hf.TrainingArguments(str(tmp_path), **settings)
        assert caplog.text.count(said) == count


@shows("output_dir")
def test_output_dir(make, tmp_path, monkeypatch):  # noqa: F811
    assert make().args.output_dir == str(tmp_path / "out") and (tmp_path / "out").is_dir()
    monkeypatch.chdir(tmp_path)
    assert hf.TrainingArguments(use_cpu=True).output_dir == "trainer_output"
    trainer = hf.Trainer(model())
    assert trainer.args.output_dir == "tmp_trainer" and Path("tmp_trainer").is_dir()


@shows("adam_beta1", "adam_beta2", "adam_epsilon")
def test_adam(make):  # noqa: F811
    optimizer = make(adam_beta1=0.5, adam_beta2=0.7, adam_epsilon=1e-3).create_optimizer()
    for group in optimizer.param_groups:
        assert (group["betas"], group["eps"]) == ((0.5, 0.7), 1e-3)


@shows("gradient_checkpointing_kwargs")
def test_checkpointing_options_reach_the_model(make):  # noqa: F811
    net, calls = model(), []
    net.gradient_checkpointing_enable = lambda **kwargs: calls.append(kwargs)
    options = {"use_reentrant": False}
    make(
        net=net, gradient_checkpointing=True, gradient_checkpointing_kwargs=options, max_steps=1
    ).train()
    assert calls == [{"gradient_checkpointing_kwargs": options}]


@shows("bf16_full_eval", "fp16_full_eval")
def test_full_half_precision_evaluation(make, monkeypatch):  # noqa: F811
    plain = make(eval_dataset=Rows(4)).evaluate()["eval_loss"]
    for name, dtype in (("bf16_full_eval", "bfloat16"), ("fp16_full_eval", "float16")):
        trainer = make(eval_dataset=Rows(4), **{name: True})
        assert trainer.evaluate()["eval_loss"] == plain  # the CPU computes in float32
        asked = []
        with monkeypatch.context() as patch:
            patch.setattr(hf.TrainingArguments, "half_device", True)
            patch.setattr(trainer.model, "to", lambda asked=asked, **kwargs: asked.append(kwargs))
            trainer._prepare_evaluation([], "Evaluation")
        assert asked == [{"dtype": dtype}]


@shows("use_cache")
def test_use_cache(make):  # noqa: F811
    assert make().model.config.use_cache is False
    assert make(use_cache=True).model.config.use_cache is True


@shows("torch_empty_cache_steps")
def test_the_cache_is_emptied_every_so_many_steps(make, monkeypatch):  # noqa: F811
    calls = []
    monkeypatch.setattr(paddle.device.cuda, "empty_cache", lambda: calls.append(1))
    monkeypatch.setattr(hf.TrainingArguments, "n_gpu", 1)
    make(torch_empty_cache_steps=2, max_steps=5).train()
    assert len(calls) == 3
    with pytest.raises(ValueError, match="torch_empty_cache_steps"):
        make(torch_empty_cache_steps=0)


@shows("logging_nan_inf_filter")
def test_losses_that_are_not_finite(make):  # noqa: F811
    def loss(outputs, labels, num_items_in_batch):
        calls.append(1)
        mean = outputs.logits.mean() * 0.0
        return mean + (float("nan") if len(calls) == 2 else 3.0)

    calls: list[int] = []
    filtered = make(compute_loss_func=loss, max_steps=3, max_grad_norm=0.0)
    filtered.train()
    assert losses(filtered) == [3.0, 0.0, 3.0]
    calls.clear()
    settings = {"max_steps": 3, "max_grad_norm": 0.0, "logging_nan_inf_filter": False}
    told = make(compute_loss_func=loss, **settings)
    told.train()
    assert np.isnan(losses(told)[1]) and losses(told)[0] == 3.0


@shows("log_level", "log_level_replica", "disable_tqdm")
def test_how_much_is_said(make, monkeypatch):  # noqa: F811
    before = hf.logging.get_verbosity()
    try:
        trainer = make(log_level="error", disable_tqdm=False)
        assert hf.logging.get_verbosity() == hf.logging.ERROR
        kinds = [type(c).__name__ for c in trainer.callback_handler.callbacks]
        assert "ProgressCallback" in kinds and "PrinterCallback" not in kinds
        monkeypatch.setattr(hf.TrainingArguments, "process_index", 1)
        monkeypatch.setattr(hf.TrainingArguments, "local_process_index", 1)
        make(log_level="error", log_level_replica="debug")
        assert hf.logging.get_verbosity() == hf.logging.DEBUG
    finally:
        hf.logging.set_verbosity(before)


@shows("project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id")
def test_settings_of_reports_reach_the_callbacks(make):  # noqa: F811
    seen = []
    names = ("project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id")

    class Reporting(hf.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            seen.extend(getattr(args, name) for name in names)

    make(callbacks=[Reporting()], max_steps=1, **{name: name for name in names}).train()
    assert tuple(seen) == names


@shows("prediction_loss_only")
def test_loss_only(make):  # noqa: F811
    settings = {"eval_dataset": Rows(4), "compute_metrics": lambda p: {"rows": len(p.predictions)}}
    assert make(**settings).evaluate()["eval_rows"] == 4
    trainer = make(prediction_loss_only=True, **settings)
    assert "eval_rows" not in trainer.evaluate()
    assert trainer.predict(Rows(4)).predictions is None


@shows("save_only_model", "enable_jit_checkpoint")
def test_what_a_checkpoint_holds(make):  # noqa: F811
    settings = {"save_strategy": "steps", "save_steps": 2}
    found = []
    for only in (False, True):
        trainer = make(save_only_model=only, **settings)
        trainer.train()
        folder = Path(trainer.args.output_dir, "checkpoint-2")
        found.append({p.name for p in folder.iterdir()})
    files = {"optimizer.json", "optimizer.safetensors", "scheduler.json", "progress.json"}
    assert found[0] - found[1] == files

    class Ending(hf.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    stopped = make(enable_jit_checkpoint=True, callbacks=[Ending()])
    assert stopped.train().global_step == 2
    assert signal.getsignal(signal.SIGTERM) is before
    whole, again = make(), make()
    whole.train()
    again.train(resume_from_checkpoint=str(folder))
    assert losses(again) == losses(whole)


@shows("hub_private_repo", "hub_revision")
def test_where_on_the_hub(make, monkeypatch):  # noqa: F811
    import huggingface_hub

    calls = []
    monkeypatch.setattr(
        huggingface_hub,
        "create_repo",
        lambda name, **kw: calls.append(kw) or huggingface_hub.RepoUrl(f"https://hf.co/me/{name}"),
    )
    monkeypatch.setattr(huggingface_hub, "upload_folder", lambda **kw: calls.append(kw))
    settings = {"push_to_hub": True, "hub_model_id": "mine", "hub_revision": "side"}
    trainer = make(hub_private_repo=True, **settings)
    trainer.push_to_hub()
    assert calls[0]["private"] is True and calls[1]["revision"] == "side"
    trainer.push_to_hub(revision="other")
    assert calls[2]["revision"] == "other"


@shows("restore_callback_states_from_checkpoint")
def test_callbacks_go_on_where_they_were(make):  # noqa: F811
    settings = {"eval_dataset": Rows(4), "eval_strategy": "steps", "eval_steps": 1}
    settings |= {"save_strategy": "steps", "save_steps": 1, "metric_for_best_model": "loss"}
    settings |= {"load_best_model_at_end": True}

    def build(**kwargs):
        patience = hf.EarlyStoppingCallback(early_stopping_patience=50)
        return make(callbacks=[patience], **settings, **kwargs)

    first = build(learning_rate=5.0)
    first.train()
    folder = str(Path(first.args.output_dir, "checkpoint-3"))

    def counter(trainer):
        trainer.train(resume_from_checkpoint=folder)
        callbacks = trainer.callback_handler.callbacks
        return next(
            c.early_stopping_patience_counter
            for c in callbacks
            if isinstance(c, hf.EarlyStoppingCallback)
        )

    assert counter(build(restore_callback_states_from_checkpoint=True)) > 0
    assert counter(build()) == 0


@shows("dataloader_multiprocessing_context", "dataloader_in_order")
def test_options_of_workers(make):  # noqa: F811
    settings = {"dataloader_num_workers": 1, "dataloader_multiprocessing_context": "fork"}
    loader = make(**settings).get_train_dataloader()
    assert loader.multiprocessing_context == "fork" and loader.in_order
    with pytest.raises(UnsupportedArgumentError, match="in_order=False"):
        make(dataloader_in_order=False, **settings).get_train_dataloader()


@shows("remove_unused_columns")
def test_unused_columns(make):  # noqa: F811
    import datasets

    rows = [{**row, "extra": 1.0} for row in Rows(4).rows]
    for data in (datasets.Dataset.from_list(rows), rows):
        seen = []
        for kept in (False, True):
            trainer = make(data=data, remove_unused_columns=not kept)
            seen.append(sorted(next(iter(trainer.get_train_dataloader()))))
        assert seen == [["input_ids", "labels"], ["extra", "input_ids", "labels"]]
    with pytest.raises(ValueError, match="No columns in the dataset match"):
        extra = datasets.Dataset.from_list([{"extra": 1.0}])
        make(data=extra).get_train_dataloader()


@shows("label_names")
def test_names_of_labels(make):  # noqa: F811
    assert make().label_names == ["labels"]
    trainer = make(label_names=["input_ids", "labels"])
    labels = trainer.predict(Rows(4)).label_ids
    assert isinstance(labels, tuple) and [part.shape for part in labels] == [(4, 6), (4, 6)]
    assert make(label_names=["target"]).predict(Rows(4)).label_ids is None


@shows("length_column_name")
def test_column_of_lengths(make):  # noqa: F811
    import datasets

    rows = [{**row, "long": 12 - i} for i, row in enumerate(Rows(12).rows)]
    trainer = make(
        data=datasets.Dataset.from_list(rows),
        train_sampling_strategy="group_by_length",
        length_column_name="long",
    )
    order = list(trainer._get_train_sampler())
    assert trainer._get_train_sampler().lengths == list(range(12, 0, -1))
    assert order[0] == 0 and sorted(order) == list(range(12))


@shows("do_train", "do_eval", "do_predict", "resume_from_checkpoint")
def test_what_only_scripts_read(make):  # noqa: F811
    args = make(do_train=True, do_predict=True, resume_from_checkpoint="x").args
    assert (args.do_train, args.do_eval, args.do_predict) == (True, False, True)
    assert args.resume_from_checkpoint == "x"
    assert make(eval_strategy="epoch", eval_dataset=Rows(4)).args.do_eval
