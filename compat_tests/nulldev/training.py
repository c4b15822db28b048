"""Run by test_training.py beside the null device: ``training.py CASE FOLDER``.

Trains, evaluates, predicts, saves and resumes with the Trainer on the CPU and on the null device;
every log, weight and state must be the CPU's, and the device's tensors stay where they are.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import transformers
from models import DEVICE, all_on_device, close

import hfpaddle.transformers as hf

VOCABULARY = 41


class Rows:
    """Rows of different length, with labels."""

    def __init__(self, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        lengths = random.integers(3, 9, count)
        self.rows = [{"input_ids": random.integers(3, VOCABULARY, n).tolist()} for n in lengths]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def collate(rows: list[dict[str, Any]]) -> dict[str, paddle.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)
    ids = np.array([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in rows])
    labels = np.where(ids == 0, -100, ids)
    arrays = {"input_ids": ids, "attention_mask": (ids != 0).astype("int64"), "labels": labels}
    return {name: paddle.to_tensor(a, place=paddle.CPUPlace()) for name, a in arrays.items()}


CASES: dict[str, dict[str, Any]] = {
    "plain": {"max_grad_norm": 0.5, "weight_decay": 0.1, "include_num_input_tokens_seen": True},
    "accumulated": {
        **{"gradient_accumulation_steps": 2, "label_smoothing_factor": 0.1},
        **{"neftune_noise_alpha": 5.0, "eval_accumulation_steps": 1},
    },
    "checkpointed": {"gradient_checkpointing": True, "torch_empty_cache_steps": 1},
    "adafactor": {"optim": "adafactor", "include_for_metrics": ["inputs", "loss"]},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9", "lr_scheduler_type": "cosine"},
}


def trainer_on(device: str, folder: Path, options: dict[str, Any]) -> hf.Trainer:
    paddle.set_device(device)
    hf.set_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
    )
    args = hf.TrainingArguments(
        str(folder / device.split(":")[0]),
        **{"num_train_epochs": 2, "per_device_train_batch_size": 4, "logging_steps": 1},
        **{"learning_rate": 5e-3, "save_steps": 2, "eval_strategy": "epoch", "seed": 5},
        **{"disable_tqdm": True, "per_device_eval_batch_size": 4, "use_cpu": device == "cpu"},
        **options,
    )
    return hf.Trainer(
        model=hf.LlamaForCausalLM(config),
        args=args,
        data_collator=collate,
        train_dataset=Rows(14, 0),
        eval_dataset=Rows(6, 1),
        compute_metrics=lambda p: {"kind": str(type(p.predictions)), "n": len(p.label_ids)},
    )


def told(trainer: hf.Trainer) -> list[dict[str, Any]]:
    clocks = ("runtime", "per_second")
    return [
        {k: v for k, v in entry.items() if not any(c in k for c in clocks)}
        for entry in trainer.state.log_history
    ]


def same_logs(got: hf.Trainer, want: hf.Trainer) -> None:
    assert len(told(got)) == len(told(want)) > 4
    for one, other in zip(told(got), told(want), strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, float):
                np.testing.assert_allclose(value, other[key], rtol=1e-4, err_msg=f"{key} {one}")
            else:
                assert value == other[key], key


def same_weights(got: Any, want: Any) -> None:
    expected = dict(want.named_parameters())
    for name, parameter in got.named_parameters():
        close(name, parameter.detach().cpu(), expected[name].detach().numpy())


def check(case: str, folder: Path) -> None:
    reference = trainer_on("cpu", folder, CASES[case])
    reference.train()
    predicted = reference.predict(Rows(5, 2))

    trainer = trainer_on(DEVICE, folder, CASES[case])
    assert str(trainer.args.device) == DEVICE and trainer.args.n_gpu == 1
    trainer.train()
    all_on_device("parameters", dict(trainer.model.named_parameters()), at_least=8)
    moments = {
        f"{i} {name}": value
        for i, state in enumerate(trainer.optimizer.state.values())
        for name, value in state.items()
        if isinstance(value, paddle.Tensor) and len(value.shape)
    }
    all_on_device("state of the optimizer", moments, at_least=8)
    same_logs(trainer, reference)
    same_weights(trainer.model, reference.model)
    result = trainer.predict(Rows(5, 2))
    np.testing.assert_allclose(result.predictions, predicted.predictions, atol=1e-5)

    middle = folder / "nulldev" / "checkpoint-2"
    kept = folder / "kept"
    shutil.copytree(middle, kept)
    again = trainer_on(DEVICE, folder, CASES[case])
    again.train(resume_from_checkpoint=str(kept))
    # The last entry has the mean loss of this call alone.
    assert told(again)[:-1] == told(trainer)[:-1]
    for name, parameter in again.model.named_parameters():
        ours, theirs = parameter.cpu(), dict(trainer.model.named_parameters())[name].cpu()
        assert (ours.detach().numpy() == theirs.detach().numpy()).all(), name
    assert paddle.get_device() == DEVICE


if __name__ == "__main__":
    check(sys.argv[1], Path(sys.argv[2]))
    print("ok")
