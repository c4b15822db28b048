"""Mirror of ``accelerate.checkpointing``: the whole state of a run, written at once or not at all.

Model weights are safetensors under upstream's names. The other files have upstream's names too, and
hold plain data with tensors in the safetensors format (`utils.tree`), where upstream pickles.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paddle

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils import constants
from hfpaddle.accelerate.utils.other import clean_state_dict_for_safetensors
from hfpaddle.accelerate.utils.random import get_rng_states, set_rng_states
from hfpaddle.accelerate.utils.tree import load_tree, save_tree
from hfpaddle.converters.safetensors import read_safetensors, write_safetensors
from hfpaddle.core.errors import CheckpointError, WeightMismatchError, nearest
from hfpaddle.core.files import staged

# Gradients that were still accumulating; upstream forgets them.
GRADIENTS_NAME = "gradients.bin"
_OURS = re.compile(
    r"gradients\.bin|model(_\d+)?\.safetensors|(optimizer|scheduler|sampler)(_\d+)?\.bin|scaler\.pt"
    r"|random_states_\d+\.pkl|custom_checkpoint_\d+\.pkl"
)


def _name(stem: str, index: int, suffix: str) -> str:
    return f"{stem}{f'_{index}' if index else ''}{suffix}"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield a folder to write into, which takes the place of ``folder`` when all is written.

    A folder that is new or empty appears by one rename. In one with files, those of an earlier
    state go and the rest stay.
    """
    if folder.exists() and any(folder.iterdir()):
        with staged(folder) as staging:
            staging.stale |= {p.name for p in folder.iterdir() if _OURS.fullmatch(p.name)}
            yield staging.path
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def save_accelerator_state(
    output_dir: Path,
    model_states: list[dict],
    optimizers: list[Any],
    schedulers: list[Any],
    dataloaders: list[Any],
    process_index: int,
    step: int,
    scaler: Any = None,
    custom_objects: Any = (),
    gradients: list[dict] | None = None,
) -> None:
    """Write every state into ``output_dir``; ``gradients`` are those of an unfinished batch."""
    for i, state in enumerate(model_states):
        tensors = clean_state_dict_for_safetensors(state)
        path = output_dir / _name(constants.SAFE_MODEL_NAME, i, ".safetensors")
        write_safetensors(path, tensors, {"format": "pt"})
    parts = {
        constants.OPTIMIZER_NAME: optimizers,
        constants.SCHEDULER_NAME: schedulers,
        constants.SAMPLER_NAME: dataloaders,
    }
    for stem, objects in parts.items():
        for i, part in enumerate(objects):
            state = part.saved_state() if stem == constants.OPTIMIZER_NAME else part.state_dict()
            save_tree(state, output_dir / _name(stem, i, ".bin"))
    if scaler is not None:
        save_tree(scaler.state_dict(), output_dir / constants.SCALER_NAME)
    for i, part in enumerate(custom_objects):
        save_tree(part.state_dict(), output_dir / f"custom_checkpoint_{i}.pkl")
    if gradients is not None:
        save_tree(gradients, output_dir / GRADIENTS_NAME)
    states = {"step": step, **get_rng_states()}
    save_tree(states, output_dir / f"{constants.RNG_STATE_NAME}_{process_index}.pkl")


def _load(path: Path) -> Any:
    with open(path, "rb") as file:
        start = file.read(2)
    if start in (b"PK", b"\x80\x02"):
        raise CheckpointError(
            f"{path} was written by accelerate on torch. Its model.safetensors loads here; the "
            "optimizer, schedule and random states of torch do not. Start a new run from it."
        )
    return load_tree(path)


def load_weights(model: Any, path: Path, strict: bool = True) -> None:
    """Copy the tensors of ``path`` into ``model``, in place.

    Raises: WeightMismatchError naming what is missing, unexpected or of another shape.
    """
    entries = read_safetensors(path)
    own = model.state_dict()
    kept = clean_state_dict_for_safetensors(own)  # tied tensors are in the file once
    missing = [name for name in kept if name not in entries]
    unexpected = [name for name in entries if name not in own]
    if strict and (missing or unexpected):
        hint = nearest(unexpected[0], own) if unexpected else ""
        raise WeightMismatchError(
            f"{path} does not fit the model: missing {missing[:3]}, unexpected {unexpected[:3]}"
            f"{hint}. Prepare the model that the state was saved from."
        )
    for name, entry in entries.items():
        if name in own and tuple(own[name].shape) != tuple(entry.shape):
            raise WeightMismatchError(
                f"{path}: {name} is {tuple(entry.shape)} in the file, {tuple(own[name].shape)} in "
                "the model. Prepare the model that the state was saved from."
            )
    with paddle.no_grad():
        for name, entry in entries.items():
            if name in own:
                paddle.assign(entry.load().astype(own[name].dtype), own[name])


def get_gradients(model: Any) -> dict[str, paddle.Tensor]:
    """Return the gradients of ``model`` by name."""
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def set_gradients(model: Any, gradients: dict[str, paddle.Tensor]) -> None:
    """Give ``model`` these gradients, and no others."""
    for name, parameter in model.named_parameters():
        parameter.clear_gradient(False)
        if name in gradients:
            parameter.grad = gradients[name]


def load_accelerator_state(
    input_dir: Path,
    models: list[Any],
    optimizers: list[Any],
    schedulers: list[Any],
    dataloaders: list[Any],
    process_index: int,
    scaler: Any = None,
    custom_objects: Any = (),
    **load_model_func_kwargs: Any,
) -> int:
    """Load every state and return the step. Files are all read before anything changes.

    Raises: MissingFileError, CheckpointError or WeightMismatchError.
    """
    plan = []
    parts = {
        constants.OPTIMIZER_NAME: optimizers,
        constants.SCHEDULER_NAME: schedulers,
        constants.SAMPLER_NAME: dataloaders,
    }
    for stem, objects in parts.items():
        plan += [(x, _load(input_dir / _name(stem, i, ".bin"))) for i, x in enumerate(objects)]
    if scaler is not None:
        plan.append((scaler, _load(input_dir / constants.SCALER_NAME)))
    for i, part in enumerate(custom_objects):
        plan.append((part, _load(input_dir / f"custom_checkpoint_{i}.pkl")))
    path = input_dir / GRADIENTS_NAME
    gradients = _load(path) if path.exists() else [{} for _ in models]
    states = _load(input_dir / f"{constants.RNG_STATE_NAME}_{process_index}.pkl")
    strict = load_model_func_kwargs.get("strict", True)
    for i, model in enumerate(models):
        path = input_dir / _name(constants.SAFE_MODEL_NAME, i, ".safetensors")
        load_weights(model, path, strict)
    for part, state in plan:
        if any(part is optimizer for optimizer in optimizers):
            part.load_saved_state(state)
        else:
            part.load_state_dict(state)
    for model, found in zip(models, gradients, strict=False):
        set_gradients(model, found)
    step = states.pop("step")
    set_rng_states(states)
    return step


__getattr__ = fallback(__name__)
