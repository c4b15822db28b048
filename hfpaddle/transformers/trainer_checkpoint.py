"""Checkpoints of a Trainer: whole or not there, and resumed to the last bit.

A checkpoint is written into a hidden folder beside its place, flushed, and renamed: a process
killed at any moment leaves the checkpoints before it whole. It holds the model, ``optimizer``,
``scheduler``, ``progress`` (random streams, position in the data, losses not yet logged) and
``trainer_state.json``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from transformers.trainer_callback import ExportableState, TrainerControl, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, SaveStrategy, sort_checkpoints
from transformers.utils import logging

from hfpaddle.converters.safetensors import read_safetensors, write_safetensors
from hfpaddle.core.errors import CheckpointError, MissingFileError, WeightMismatchError
from hfpaddle.core.files import write_text
from hfpaddle.modeling import loading
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.transformers import trainer_random
from hfpaddle.transformers.trainer_state_io import read_state, write_state

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts

STATE = "trainer_state.json"
WEIGHTS = "model.safetensors"
_WRITING, _DELETING = ".checkpoint-writing-", ".checkpoint-deleting-"


@contextlib.contextmanager
def written_together(target: Path) -> Any:
    """Yield a hidden folder that takes ``target``'s place when the block is done.

    Raises: CheckpointError if the disk refuses; ``target`` and its neighbours are unchanged.
    """
    hidden = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(dir=target.parent, prefix=_WRITING))
        yield hidden
        umask = os.umask(0)
        os.umask(umask)
        hidden.chmod(0o777 & ~umask)
        for path in [*hidden.rglob("*"), hidden]:
            _flush(path)
        if target.exists():
            remove(target)
        hidden.rename(target)
        _flush(target.parent)
    except OSError as error:
        raise CheckpointError(
            f"{target} cannot be written: {error}. Checkpoints written before are whole; free some "
            "space or choose another output_dir, and resume from the last one."
        ) from error
    finally:
        if hidden is not None and hidden.exists():
            shutil.rmtree(hidden, ignore_errors=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path | str) -> None:
    """Delete a checkpoint; a process killed meanwhile leaves no half of one under its name."""
    folder = Path(folder)
    hidden = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_DELETING))
    folder.rename(hidden / folder.name)
    shutil.rmtree(hidden, ignore_errors=True)


def clean(output_dir: Path | str) -> None:
    """Delete what killed processes left of writing and deleting."""
    for prefix in (_WRITING, _DELETING):
        for path in Path(output_dir).glob(f"{prefix}*"):
            shutil.rmtree(path, ignore_errors=True)


class CheckpointMixin:
    """How a Trainer keeps its state and takes it up again."""

    args: Any
    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: TrainerState
    control: TrainerControl
    callback_handler: Any
    data_collator: Any
    processing_class: Any
    _scaler: Any

    # Writing

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write model, config and tokenizer so that ``from_pretrained`` reads them."""
        self._save(output_dir)
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)  # type: ignore[attr-defined]

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(self.args.output_dir if output_dir is None else output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if hasattr(self.model, "save_pretrained"):
            self.model.save_pretrained(folder, state_dict=state_dict)
        else:
            tensors = self.model.state_dict() if state_dict is None else state_dict
            write_safetensors(folder / WEIGHTS, dict(tensors), {"format": "pt"})
        keeper = self.processing_class or getattr(self.data_collator, "tokenizer", None)
        if keeper is not None:
            keeper.save_pretrained(folder)
        write_text(folder / "training_args.json", self.args.to_json_string() + "\n")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write ``checkpoint-<step>`` and delete what ``save_total_limit`` says."""
        if trial is None:
            self.store_flos()  # type: ignore[attr-defined]
        run = Path(self._get_output_dir(trial))  # type: ignore[attr-defined]
        target = run / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.state.best_global_step:
            best = run / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
            if best.exists() or best == target:
                self.state.best_model_checkpoint = str(best)
        with written_together(target) as folder:
            self.save_model(str(folder), _internal_call=True)
            if not self.args.save_only_model:
                self._save_optimizer_and_scheduler(str(folder))
                self._save_scaler(str(folder))
                self._save_rng_state(str(folder))
            self._export_callbacks()
            self.state.save_to_json(str(folder / STATE))
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(target))  # type: ignore[attr-defined]
        self._rotate(run)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        folder = Path(output_dir)
        write_state(folder, "optimizer", self._optimizer_state())
        write_state(folder, "scheduler", self._scheduler_state())

    def _save_scaler(self, output_dir: str) -> None:
        if self._scaler is not None:
            write_state(Path(output_dir), "scaler", self._scaler.state_dict())

    def _load_scaler(self, checkpoint: str | None) -> None:
        if self._scaler is not None and checkpoint and Path(checkpoint, "scaler.json").exists():
            self._scaler.load_state_dict(read_state(Path(checkpoint), "scaler"))

    def _save_rng_state(self, output_dir: str) -> None:
        """Write ``progress``: random streams, and where the run stands in its data."""
        write_state(Path(output_dir), "progress", self._progress_state())

    def _export_callbacks(self) -> None:
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                name, kept = type(callback).__name__, self.state.stateful_callbacks
                if isinstance(kept.get(name), list):
                    kept[name].append(callback.state())
                else:
                    kept[name] = callback.state()

    def _rotate(self, run: Path) -> None:
        limit = self.args.save_total_limit
        if not limit or limit <= 0:
            return
        found = sort_checkpoints(str(run), use_mtime=True)
        best = self.state.best_model_checkpoint
        kept = {found[-1], *([str(Path(best))] if best else [])}
        surplus = len(found) - max(limit, len(kept))
        for path in [p for p in found if p not in kept][: max(surplus, 0)]:
            remove(path)

    def _parameter_names(self) -> list[str]:
        names = {id(p): name for name, p in self.model.named_parameters()}
        groups = self.optimizer.param_groups
        return [names.get(id(p), "") for group in groups for p in group["params"]]

    def _optimizer_state(self) -> dict[str, Any]:
        return {"names": self._parameter_names(), "state": self.optimizer.state_dict()}

    def _scheduler_state(self) -> dict[str, Any]:
        return self.lr_scheduler.state_dict()

    def _progress_state(self) -> dict[str, Any]:
        feed = self._feed  # type: ignore[attr-defined]
        return {
            "random": trainer_random.to_json(trainer_random.snapshot()),
            "feed": None if feed is None else feed.states(),
            "batches": self._batches_given,  # type: ignore[attr-defined]
            "epoch": self._epoch,  # type: ignore[attr-defined]
            "epoch_ended": self._epoch_ended,  # type: ignore[attr-defined]
            "batch_number": self._batch_number,  # type: ignore[attr-defined]
            "tr_loss": float(self._tr_loss),  # type: ignore[attr-defined]
            "last_logged": self._globalstep_last_logged,  # type: ignore[attr-defined]
        }

    # Reading

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Read the weights of a checkpoint into the model that is there.

        Raises: MissingFileError, CheckpointError; WeightMismatchError if names or shapes differ.
        """
        model, folder = self.model if model is None else model, Path(resume_from_checkpoint)
        if not folder.is_dir():
            raise MissingFileError(f"Can't find a valid checkpoint at {resume_from_checkpoint}")
        if hasattr(model, "load_checkpoint"):
            model.load_checkpoint(folder)
        elif isinstance(model, PreTrainedModel):
            load_weights(model, folder)
        else:
            tensors = {n: e.load() for n, e in read_safetensors(folder / WEIGHTS).items()}
            copy_into(model, tensors, str(folder))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Read optimizer and schedule, where the checkpoint has them.

        Raises: CheckpointError if the optimizer holds other parameters.
        """
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        if not (folder / "optimizer.json").exists():
            if (folder / "optimizer.pt").exists():
                raise CheckpointError(
                    f"{folder} was written by transformers on torch: its optimizer.pt numbers "
                    "parameters in torch's order and is not read. Delete it to go on with the "
                    "weights alone."
                )
            logger.warning(f"{folder} has no optimizer state: the optimizer begins anew.")
            return
        kept = read_state(folder, "optimizer")
        if kept["names"] != self._parameter_names():
            raise CheckpointError(
                f"{folder} holds optimizer state for {len(kept['names'])} parameters in groups "
                f"that differ from the {len(self._parameter_names())} of this run. Use the "
                "arguments and the model that wrote it, or save_only_model=True."
            )
        self.optimizer.load_state_dict(kept["state"])
        self.lr_scheduler.load_state_dict(read_state(folder, "scheduler"))

    def _load_progress(self, checkpoint: str | None) -> dict[str, Any] | None:
        """Return where the run stood, or None for a checkpoint without that."""
        if checkpoint is None or not Path(checkpoint, "progress.json").exists():
            return None
        return read_state(Path(checkpoint), "progress")

    def _load_best_model(self) -> None:
        """Take the weights of the best checkpoint."""
        best = self.state.best_model_checkpoint
        logger.info(f"Loading best model from {best} (score: {self.state.best_metric}).")
        self._load_from_checkpoint(str(best))

    def _load_callback_state(self) -> None:
        """Give callbacks of this run the state of their namesakes in the checkpoint."""
        if not self.args.restore_callback_states_from_checkpoint:
            return
        present = [*self.callback_handler.callbacks, self.control]
        for name, data in self.state.stateful_callbacks.items():
            own = [c for c in present if type(c).__name__ == name]
            if not own:
                logger.warning(f"The checkpoint has a callback {name} that this run lacks.")
            kept = data if isinstance(data, list) else [data]
            for callback, state in zip(own, kept, strict=False):
                fresh = type(callback)(**state.get("args", {}))
                vars(fresh).update(state.get("attributes", {}))
                if isinstance(callback, TrainerControl):
                    self.control = fresh
                else:
                    self.callback_handler.remove_callback(callback)
                    self.callback_handler.add_callback(fresh)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Note the metric if it is the best so far, and tell so.

        Raises: KeyError if the evaluation gave no such metric.
        """
        name = self.args.metric_for_best_model
        if name is None:
            return False
        value = self._metric(metrics, name)
        better = np.greater if self.args.greater_is_better else np.less
        if self.state.best_metric is None:
            self.state.best_metric = float("-inf" if self.args.greater_is_better else "inf")
        if not better(value, self.state.best_metric):
            return False
        self.state.best_metric = value
        if self.args.save_strategy != SaveStrategy.NO:
            self.state.best_global_step = self.state.global_step
        return True

    @staticmethod
    def _metric(metrics: dict[str, float], name: str) -> float:
        name = name if name.startswith("eval_") else f"eval_{name}"
        if name not in metrics:
            raise KeyError(
                f"The `metric_for_best_model` training argument is set to '{name}', which is not "
                f"found in the evaluation metrics. The available evaluation metrics are: "
                f"{list(metrics)}. Consider changing `metric_for_best_model`."
            )
        return metrics[name]


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Read the weights of ``folder`` into ``model``, keeping its parameters, dtype and device."""
    request = loading.parse(str(folder), {})
    entries = loading.open_weights(model, loading.find_weights(request))
    filled, report = loading.make_plan(model, entries)
    copy_into(model, {n: e.load() for n, e in filled.items()}, str(folder), report.missing_keys)


@paddle.no_grad()
def copy_into(model: Any, tensors: dict[str, Any], where: str, missing: Any = None) -> None:
    """Write ``tensors`` over those of the same name.

    Raises: WeightMismatchError for names or shapes that do not fit.
    """
    targets = dict(model.state_dict())
    absent = set(targets) - set(tensors) if missing is None else set(missing)
    unknown = set(tensors) - set(targets)
    wrong = [n for n in set(tensors) & set(targets) if tensors[n].shape != targets[n].shape]
    if absent or unknown or wrong:
        raise WeightMismatchError(
            f"{where} does not fit the model: missing {sorted(absent)[:3]}, unexpected "
            f"{sorted(unknown)[:3]}, of another shape {sorted(wrong)[:3]}. Use the checkpoint of "
            "this model."
        )
    for name, tensor in tensors.items():
        target = targets[name]
        paddle.assign(tensor.astype(target.dtype).to(target.place), output=target)
