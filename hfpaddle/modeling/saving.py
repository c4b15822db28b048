"""Writing a folder that the original library loads with difference zero."""

from __future__ import annotations

import copy
import inspect
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import paddle
from huggingface_hub.serialization import split_state_dict_into_shards_factory

from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError
from hfpaddle.core.files import staged, write_json
from hfpaddle.core.logging import warn_once

# Arguments of the original that change nothing here; each is listed in docs/differences.md.
NO_EFFECT = ("save_peft_format", "save_original_format", "distributed_checkpoint", "save_function")


def hub_tensors(model: Any, state_dict: dict[str, Any] | None = None) -> dict[str, paddle.Tensor]:
    """Return what is saved: Hub names, tied tensors once under their source."""
    tensors = model.state_dict() if state_dict is None else state_dict
    ties = {target: source for target, source in model.active_ties().items() if source in tensors}
    kept = {name: t for name, t in tensors.items() if name not in ties}
    found = {model.key_map.to_hub(name): tensor for name, tensor in kept.items()}
    # Shards are cut in this order. Upstream sorts what came from a checkpoint, and that alone.
    return dict(sorted(found.items(), key=natural_order)) if model.from_checkpoint else found


def natural_order(item: tuple[str, Any]) -> list[tuple]:
    """Sort key that puts ``layers.2`` before ``layers.10``, and numbers before words."""
    parts = []
    for part in item[0].split("."):
        text = part.rstrip("0123456789")
        number = part[len(text) :]
        parts.append((int(bool(text)), text, int(number or -1)))
    return parts


def tensor_size(tensor: paddle.Tensor) -> int:
    """Return the bytes of ``tensor``."""
    return tensor.size * tensor.element_size()


def save_weights(
    model: Any,
    tensors: dict[str, paddle.Tensor],
    folder: Path,
    limit: int | str = "50GB",
    variant: str | None = None,
) -> None:
    """Write ``model.safetensors``, or numbered shards and their index, as transformers cuts them.

    Raises: UnsupportedArgumentError if ``limit`` is no size.
    """
    from hfpaddle.converters.safetensors import write_safetensors

    tag = f".{variant}" if variant else ""
    try:
        split = split_state_dict_into_shards_factory(
            tensors,
            get_storage_size=tensor_size,
            filename_pattern=f"model{tag}{{suffix}}.safetensors",
            max_shard_size=limit,
        )
    except ValueError as error:
        raise UnsupportedArgumentError(f"max_shard_size={limit!r} is no size: {error}") from error
    for name, names in split.filename_to_tensors.items():
        write_safetensors(folder / name, {n: tensors[n] for n in names}, {"format": "pt"})
    if split.is_sharded:
        metadata = {"total_parameters": model.num_parameters(), **split.metadata}
        index = {"metadata": metadata, "weight_map": split.tensor_to_filename}
        write_json(folder / f"model.safetensors.index{tag}.json", index)


def weight_files(folder: Path, variant: str | None) -> set[str]:
    """Return the weight files of an earlier save into ``folder``: a new one replaces all."""
    tag = re.escape(f".{variant}" if variant else "")
    pattern = rf"model{tag}(-\d{{5}}-of-\d{{5}})?\.safetensors|model\.safetensors\.index{tag}\.json"
    return {path.name for path in folder.iterdir() if re.fullmatch(pattern, path.name)}


def save_config(model: Any, folder: Path) -> None:
    """Write config.json, and generation_config.json for models that generate.

    Raises: ValueError, as upstream, for generation settings that are invalid or in the config.
    """
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = str(model.dtype).removeprefix("paddle.")
    config.save_pretrained(folder)
    if model.can_generate() and model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def refuse_quantized(model: Any) -> None:
    """Raise UnsupportedArgumentError if weights of ``model`` are stored in 8 or 4 bits."""
    if getattr(model, "is_quantized", False):
        raise UnsupportedArgumentError(
            "save_pretrained: a model with quantised weights cannot be saved. Load it without "
            "quantization_config and save that, or keep the GGUF file."
        )


def save_pretrained(
    model: Any,
    save_directory: str | os.PathLike,
    is_main_process: bool = True,
    state_dict: dict[str, paddle.Tensor] | None = None,
    push_to_hub: bool = False,
    max_shard_size: int | str = "50GB",
    variant: str | None = None,
    token: str | bool | None = None,
    safe_serialization: bool = True,
    **kwargs: Any,
) -> None:
    """Write ``model`` so that transformers' ``from_pretrained`` reads it.

    All files appear together: after an error the folder is as it was.

    Args:
        save_directory: made if absent. A file of that name raises.
        is_main_process: False writes nothing (other ranks).
        state_dict: tensors to write instead of the model's.
        push_to_hub: upload afterwards; further keywords go to `push_to_hub`.
        max_shard_size: bytes or ``"5GB"``.
        variant: ``model.<variant>.safetensors``.
    Raises: UnsupportedArgumentError for ``safe_serialization=False``, unknown sizes and models with
    quantised weights; CheckpointError if the folder cannot be written.
    """
    if not safe_serialization:
        raise UnsupportedArgumentError(
            "save_pretrained: safe_serialization=False (pickled weights) is not supported "
            "(nearest: the default, safetensors)."
        )
    refuse_quantized(model)
    for key in [key for key in kwargs if key in NO_EFFECT]:
        kwargs.pop(key)
        warn_once(f"save_pretrained: {key} has no effect; the Hub's layout is written.")
    unknown = sorted(set(kwargs) - {"repo_id", *inspect.signature(upload).parameters})
    if unknown:
        raise TypeError(f"save_pretrained() got unexpected keyword arguments {unknown}")
    folder = Path(save_directory)
    if folder.is_file():
        raise UnsupportedArgumentError(f"save_pretrained: {folder} is a file; give a folder.")
    if not is_main_process:
        return
    try:
        with staged(folder) as staging:
            tensors = hub_tensors(model, state_dict)
            save_weights(model, tensors, staging.path, max_shard_size, variant)
            save_config(model, staging.path)
            staging.stale = weight_files(folder, variant)
            names = [path.name for path in staging.path.iterdir()]
    except OSError as error:
        raise CheckpointError(
            f"save_pretrained: {folder} cannot be written: {error}. What it held is unchanged."
        ) from error
    if push_to_hub:
        upload(folder, names, kwargs.pop("repo_id", folder.name), token=token, **kwargs)


def push_to_hub(
    model: Any, repo_id: str, *, max_shard_size: int | str = "50GB", **kwargs: Any
) -> Any:
    """Save into a temporary folder and upload it; returns huggingface_hub's CommitInfo."""
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, max_shard_size=max_shard_size)
        kwargs["commit_message"] = kwargs.get("commit_message") or f"Upload {type(model).__name__}"
        return upload(Path(folder), os.listdir(folder), repo_id, **kwargs)


def upload(
    folder: Path,
    names: list[str],
    repo_id: str,
    *,
    token: str | bool | None = None,
    private: bool | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    create_pr: bool = False,
    revision: str | None = None,
    tags: list[str] | None = None,
) -> Any:
    """Create the repository if needed and commit the files ``names`` of ``folder`` to it.

    As upstream: a repository without README.md gets one, with ``tags``; ``revision`` names a branch
    that is made if it is not there.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from transformers.utils.hub import create_and_tag_model_card

    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    card = str(create_and_tag_model_card(repo_id, tags, token=token)).encode("utf-8")
    files: dict[str, Any] = {name: folder / name for name in sorted(names)}
    files["README.md"] = card
    if revision is not None and not revision.startswith("refs/pr") and not create_pr:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    return api.create_commit(
        repo_id=repo_id,
        operations=[CommitOperationAdd(name, content) for name, content in files.items()],
        commit_message=commit_message or "Upload model",
        commit_description=commit_description,
        create_pr=create_pr,
        revision=revision,
    )
