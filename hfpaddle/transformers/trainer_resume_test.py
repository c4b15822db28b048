"""Resumed runs are those of a Trainer that was never stopped, also where workers read the data."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

import hfpaddle.transformers as hf
from hfpaddle.core import rng
from hfpaddle.torch.utils.data import IterableDataset, get_worker_info
from hfpaddle.transformers.trainer_test import (
    VOCABULARY,
    Hiding,
    Rows,
    losses,
    make,  # noqa: F401
)

pytestmark = pytest.mark.unit


class SharedStream(IterableDataset):
    """Rows in order, each worker its part, some changed at random."""

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for row in Rows(20).rows[first::step]:
            ids = [random.randrange(1, VOCABULARY) if np.random.rand() < 0.2 else i
                   for i in row["input_ids"]]  # fmt: skip
            yield {"input_ids": ids, "labels": row["labels"]}


class Drawn(Rows):
    """Rows whose reading draws from each stream."""

    def __getitem__(self, index):
        row = self.rows[index]
        shift = random.randrange(3) + int(rng.default_generator.randperm(3)[0])
        return {**row, "input_ids": [(i + shift) % VOCABULARY for i in row["input_ids"]]}


def compare(build, stop):
    """Train; train again from the checkpoint at ``stop``; all must be equal, to the last bit."""
    whole = build()
    whole.train()
    assert len(losses(whole)) > 2
    again = build()
    folder = os.path.join(whole.args.output_dir, f"checkpoint-{stop}")
    again.train(resume_from_checkpoint=folder)
    kept = ("loss", "eval_loss", "grad_norm", "learning_rate", "epoch", "step")
    logs = [
        [{k: e[k] for k in kept if k in e} for e in t.state.log_history] for t in (again, whole)
    ]
    assert logs[0] == logs[1]
    for name, tensor in whole.model.state_dict().items():
        assert bool((again.model.state_dict()[name] == tensor).all()), name


WORKERS = {
    "plain": {"dataloader_num_workers": 2},
    "persistent": {"dataloader_num_workers": 2, "dataloader_persistent_workers": True},
    "far-ahead": {"dataloader_num_workers": 1, "dataloader_prefetch_factor": 4},
    "dropping": {"dataloader_num_workers": 1, "dataloader_drop_last": True},
    "by-length": {"dataloader_num_workers": 1, "train_sampling_strategy": "group_by_length"},
    "unseeded": {
        "dataloader_num_workers": 1,
        "accelerator_config": {"use_seedable_sampler": False},
    },
}


@pytest.mark.parametrize("stop", [1, 3, 5])
@pytest.mark.parametrize("kind", WORKERS)
def test_workers_resume_in_the_middle_of_an_epoch(make, kind, stop):  # noqa: F811
    def build():
        trainer = make(
            data=Drawn(14),
            eval_dataset=Drawn(4, seed=1),
            **{"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 1},
            **{"eval_strategy": "steps", "eval_steps": 2, "learning_rate": 1e-2},
            **WORKERS[kind],
        )
        trainer.data_collator = Hiding()
        return trainer

    compare(build, stop)


@pytest.mark.parametrize("stop", [1, 4, 6])
@pytest.mark.parametrize("workers", [0, 2])
def test_streams_resume_where_they_stood(make, workers, stop):  # noqa: F811
    """Step 5 ends the data; the stream begins again until max_steps."""

    def build():
        return make(
            data=SharedStream(),
            **{"max_steps": 8, "save_strategy": "steps", "save_steps": 1, "learning_rate": 1e-2},
            dataloader_num_workers=workers,
        )

    compare(build, stop)


def test_the_flag_of_persistent_workers_changes_no_number(make):  # noqa: F811
    def trained(**kwargs):
        trainer = make(data=Drawn(12), num_train_epochs=3, dataloader_num_workers=2, **kwargs)
        trainer.train()
        return losses(trainer)

    assert trained() == trained(dataloader_persistent_workers=True)


def test_workers_live_on_where_they_are_persistent(make):  # noqa: F811
    class Living(Rows):
        def __getitem__(self, index):
            return {**self.rows[index], "worker": os.getpid()}

    pids = []
    for persistent in (False, True):
        trainer = make(
            data=Living(),
            dataloader_num_workers=1,
            dataloader_persistent_workers=persistent,
            remove_unused_columns=False,
        )
        loader = trainer.get_train_dataloader()
        loader.collate_fn = lambda rows: {row["worker"] for row in rows}
        passes = [set().union(*loader) for _ in range(2)]
        assert all(os.getpid() not in p for p in passes)
        pids.append(len(set().union(*passes)))
    assert pids == [2, 1]


def test_ignoring_the_data_begins_the_epoch_anew(make):  # noqa: F811
    seen = []

    class Watching:
        def __call__(self, features):
            seen.append([f["input_ids"][0] for f in features])
            return hf.default_data_collator(features)

    def build(**kwargs):
        trainer = make(
            num_train_epochs=2,
            save_strategy="steps",
            save_steps=1,
            train_sampling_strategy="sequential",
            **kwargs,
        )
        trainer.data_collator = Watching()
        return trainer

    trainer = build()
    trainer.train()
    whole = list(seen)
    folder = Path(trainer.args.output_dir, "checkpoint-2")
    seen.clear()
    assert build().train(resume_from_checkpoint=folder).global_step == 6
    assert seen == whole[2:]
    seen.clear()
    # As upstream: the data begin anew, and the run ends at its last step all the same.
    assert build(ignore_data_skip=True).train(resume_from_checkpoint=folder).global_step == 6
    assert seen[:4] == whole[:4]
