"""TrainingArguments without torch: names of both versions, refusals, the command line."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from pathlib import Path

import pytest
import transformers

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.training_args import (
    LEGACY,
    NO_EFFECT,
    OBSOLETE,
    REFUSED,
    RENAMED,
    TrainingArguments,
)
from hfpaddle.transformers.training_args_seq2seq import Seq2SeqTrainingArguments

pytestmark = pytest.mark.unit


@pytest.fixture
def make(tmp_path):
    return lambda cls=TrainingArguments, **kwargs: cls(str(tmp_path), use_cpu=True, **kwargs)


def test_every_field_of_upstream_is_there_with_its_default():
    ours = {f.name: f.default for f in dataclasses.fields(TrainingArguments)}
    for field in dataclasses.fields(transformers.TrainingArguments):
        assert ours[field.name] == field.default or field.default is dataclasses.MISSING
    assert set(NO_EFFECT) | set(REFUSED) <= set(ours)
    assert set(RENAMED) | set(OBSOLETE) <= set(LEGACY)
    assert set(RENAMED.values()) <= set(ours)


def test_old_names_mean_the_new_ones(make):
    args = make(
        evaluation_strategy="steps", eval_steps=2, warmup_ratio=0.1, per_gpu_train_batch_size=3
    )
    assert (args.eval_strategy, args.eval_steps, args.warmup_steps) == ("steps", 2, 0.1)
    assert args.per_device_train_batch_size == 3
    assert make(adafactor=True).optim == "adafactor"
    assert make(group_by_length=True).train_sampling_strategy == "group_by_length"
    assert make(include_inputs_for_metrics=True).include_for_metrics == ["inputs"]
    assert not set(LEGACY) & set(args.to_dict())
    assert "warmup_ratio" not in str(args)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"fsdp": "full_shard"},
        {"deepspeed": {"zero_optimization": {}}},
        {"debug": "underflow_overflow"},
        {"optim_target_modules": "all-linear"},
        {"save_safetensors": False},
        {"past_index": 1},
    ],
)
def test_what_would_change_results_is_refused(make, kwargs):
    with pytest.raises(UnsupportedArgumentError, match=next(iter(kwargs))):
        make(**kwargs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"fp16": True, "bf16": True},
        {"lr_scheduler_type": "reduce_lr_on_plateau"},
        {"logging_steps": 0},
        {"load_best_model_at_end": True},
        {"warmup_steps": -1},
    ],
)
def test_contradictions_raise_as_upstream(make, kwargs):
    with pytest.raises(ValueError):
        make(**kwargs)


def test_one_process_on_one_device(make):
    args = make()
    assert args.device.type == "cpu" and str(args.device) == "cpu"
    assert (args.n_gpu, args.world_size, args.process_index, args.local_process_index) == (
        0,
        1,
        0,
        0,
    )
    assert args.should_save and args.should_log and args.train_batch_size == 8
    with args.main_process_first():
        pass
    assert make(accelerator_config={"use_seedable_sampler": False}).use_seedable_sampler is False
    assert args.use_seedable_sampler is True
    assert make(
        lr_scheduler_type="reduce_lr_on_plateau", eval_strategy="epoch"
    ).metric_for_best_model


def test_it_can_be_copied(make):
    args = make(Seq2SeqTrainingArguments, predict_with_generate=True, lr_scheduler_kwargs={"a": 1})
    for copied in (pickle.loads(pickle.dumps(args)), dataclasses.replace(args)):
        assert copied.to_dict() == args.to_dict()
        assert copied.predict_with_generate


def test_command_line(tmp_path):
    parser = transformers.HfArgumentParser(TrainingArguments)
    line = ["--output_dir", str(tmp_path), "--do_train", "--no_cuda", "--overwrite_output_dir"]
    (args,) = parser.parse_args_into_dataclasses([*line, "--warmup_ratio", "0.1"])
    assert args.do_train and args.use_cpu and args.warmup_steps == 0.1


def test_torch_is_not_imported(make):
    make()
    if "torch" not in sys.modules:
        assert "accelerate" not in sys.modules


def test_the_documentation_lists_what_does_not_work():
    page = Path(__file__).parents[2] / "docs" / "differences.md"
    text = page.read_text(encoding="utf-8")
    for table in (NO_EFFECT, REFUSED, RENAMED, OBSOLETE):
        assert not [name for name in table if f"`{name}`" not in text]
