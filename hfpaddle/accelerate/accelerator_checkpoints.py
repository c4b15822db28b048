"""The part of an Accelerator that saves and loads."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hfpaddle.accelerate import checkpointing
from hfpaddle.accelerate.logging import get_logger
from hfpaddle.accelerate.utils import constants
from hfpaddle.accelerate.utils.dataclasses import ProjectConfiguration
from hfpaddle.accelerate.utils.other import (
    clean_state_dict_for_safetensors,
    get_pretty_name,
    save,
)
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.files import staged, write_json

logger = get_logger(__name__)
_HOOK_IDS = itertools.count()


class RemovableHandle:
    """Takes a hook out again."""

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.hooks, self.id = hooks, next(_HOOK_IDS)

    def remove(self) -> None:
        self.hooks.pop(self.id, None)


def _number(folder: Path) -> int:
    found = re.findall(r"\d+$", folder.name)
    return int(found[0]) if found else -1


class CheckpointsMixin:
    """``save_state`` and its kin."""

    step: int
    scaler: Any
    state: Any
    gradient_state: Any
    project_configuration: ProjectConfiguration
    project_dir: Any
    save_iteration: Any
    unwrap_model: Callable
    _models: list[Any]
    _optimizers: list[Any]
    _schedulers: list[Any]
    _dataloaders: list[Any]
    _custom_objects: list[Any]
    _save_hooks: dict[int, Any]
    _load_hooks: dict[int, Any]

    def get_state_dict(self, model: Any, unwrap: bool = True) -> dict[str, Any]:
        return dict((self.unwrap_model(model) if unwrap else model).state_dict())

    def save(self, obj: Any, f: str | os.PathLike, safe_serialization: bool = False) -> None:
        """Write ``obj`` once a machine, as torch does, or as safetensors."""
        save(obj, f, safe_serialization=safe_serialization)

    def save_model(
        self,
        model: Any,
        save_directory: str | os.PathLike,
        max_shard_size: int | str = "10GB",
        safe_serialization: bool = True,
    ) -> None:
        """Write the weights as upstream does: one file, or shards and their index.

        Raises: UnsupportedArgumentError for pickled weights.
        """
        from huggingface_hub import split_state_dict_into_shards_factory

        if not safe_serialization:
            raise UnsupportedArgumentError(
                "save_model(safe_serialization=False) is not implemented (nearest: the default, "
                "safetensors)."
            )
        if os.path.isfile(save_directory):
            logger.error(f"Provided path ({save_directory}) should be a directory, not a file")
            return
        tensors = clean_state_dict_for_safetensors(self.get_state_dict(model))
        split = split_state_dict_into_shards_factory(
            tensors,
            get_storage_size=lambda t: t.size * t.element_size(),
            filename_pattern=constants.SAFE_WEIGHTS_PATTERN_NAME,
            max_shard_size=max_shard_size,
        )
        with staged(save_directory) as staging:
            old = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
            names = os.listdir(save_directory)
            staging.stale |= {name for name in names if old.fullmatch(name)}
            for name, keys in split.filename_to_tensors.items():
                shard = {key: tensors[key] for key in keys}
                save(shard, staging.path / name, safe_serialization=True)
            if split.is_sharded:
                index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
                write_json(staging.path / constants.SAFE_WEIGHTS_INDEX_NAME, index)

    def register_for_checkpointing(self, *objects: Any) -> None:
        """Save and load ``objects`` too.

        Raises: ValueError naming those without ``state_dict`` and ``load_state_dict``.
        """
        wanted = ("state_dict", "load_state_dict")
        invalid = [obj for obj in objects if not all(hasattr(obj, name) for name in wanted)]
        if invalid:
            shown = "".join(
                f"\n\t- Item at index {i}, `{get_pretty_name(obj)}`"
                for i, obj in enumerate(invalid)
            )
            raise ValueError(
                "All `objects` must include a `state_dict` and `load_state_dict` function to be "
                f"stored. The following inputs are invalid:{shown}"
            )
        self._custom_objects.extend(objects)

    def register_save_state_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(models, weights, folder)`` before weights are written."""
        handle = RemovableHandle(self._save_hooks)
        self._save_hooks[handle.id] = hook
        return handle

    def register_load_state_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(models, folder)`` before weights are loaded."""
        handle = RemovableHandle(self._load_hooks)
        self._load_hooks[handle.id] = hook
        return handle

    def save_state(
        self,
        output_dir: str | None = None,
        safe_serialization: bool = True,
        **save_model_func_kwargs: Any,
    ) -> str:
        """Write everything that a run needs to go on; all of it or nothing. Return the folder.

        Raises: ValueError without a folder, or if an automatic name is taken;
            UnsupportedArgumentError for pickled weights.
        """
        if not safe_serialization:
            raise UnsupportedArgumentError(
                "save_state(safe_serialization=False) is not implemented (nearest: the default, "
                "safetensors)."
            )
        automatic = self.project_configuration.automatic_checkpoint_naming
        if automatic:
            folder = Path(self.project_dir, "checkpoints", f"checkpoint_{self.save_iteration}")
            if folder.exists():
                raise ValueError(
                    f"Checkpoint directory {folder} ({self.save_iteration}) already exists. Please "
                    "manually override `self.save_iteration` with what iteration to start with."
                )
        elif output_dir is None:
            raise ValueError("No output_dir provided and automatic checkpoint naming is disabled.")
        else:
            folder = Path(os.path.expanduser(output_dir))
        logger.info(f"Saving current state to {folder}")
        weights = [self.get_state_dict(model, unwrap=False) for model in self._models]
        with checkpointing.writing(folder) as target:
            for hook in list(self._save_hooks.values()):
                hook(self._models, weights, str(target))
            checkpointing.save_accelerator_state(
                target,
                weights,
                self._optimizers,
                self._schedulers,
                self._dataloaders,
                self.state.process_index,
                self.step,
                self.scaler,
                self._custom_objects,
                self._unfinished(),
            )
        self.project_configuration.iteration += 1
        if automatic:
            # After the new one is whole: a failure above leaves every older checkpoint.
            self._drop_old(folder.parent)
        return str(folder)

    def _unfinished(self) -> list[dict[str, Any]] | None:
        if self.gradient_state.sync_gradients:
            return None
        return [checkpointing.get_gradients(model) for model in self._models]

    def _drop_old(self, parent: Path) -> None:
        limit = self.project_configuration.total_limit
        folders = sorted(parent.glob("checkpoint_*"), key=_number)
        for folder in folders[: len(folders) - limit] if limit is not None else []:
            shutil.rmtree(folder)

    def load_state(
        self,
        input_dir: str | None = None,
        load_kwargs: dict | None = None,
        **load_model_func_kwargs: Any,
    ) -> None:
        """Go back to a saved state: of ``input_dir``, or the newest of automatic names.

        Raises: ValueError if there is none; RuntimeError if the number of registered objects
            differs; CheckpointError or WeightMismatchError for files that do not fit.
        """
        if input_dir is not None:
            folder = Path(os.path.expanduser(input_dir))
            if not folder.is_dir():
                raise ValueError(f"Tried to find {folder} but folder does not exist")
        elif self.project_configuration.automatic_checkpoint_naming:
            folders = list(Path(self.project_dir, "checkpoints").glob("checkpoint_*"))
            if not folders:
                raise ValueError(f"{self.project_dir}/checkpoints holds no checkpoint.")
            folder = max(folders, key=_number)
        else:
            raise ValueError("No input_dir provided and automatic checkpoint naming is disabled.")
        logger.info(f"Loading states from {folder}")
        found = len(list(folder.glob("custom_checkpoint_*.pkl")))
        if found != len(self._custom_objects):
            raise RuntimeError(
                f"Number of custom checkpoints in folder {folder} does not match the number of "
                f"registered objects:\n\tFound checkpoints: {found}\n\tRegistered objects: "
                f"{len(self._custom_objects)}\nRegister the same objects as when it was saved."
            )
        # Hooks may take models out of the list, to load those themselves.
        models = list(self._models)
        for hook in list(self._load_hooks.values()):
            hook(models, str(folder))
        self.step = checkpointing.load_accelerator_state(
            folder,
            models,
            self._optimizers,
            self._schedulers,
            self._dataloaders,
            self.state.process_index,
            self.scaler,
            self._custom_objects,
            **load_model_func_kwargs,
        )
