"""Writing a folder that the original library loads with difference zero."""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.files import write_json
from hfpaddle.core.logging import warn_once

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(size: int | str) -> int:
    """Return bytes for ``5_000_000``, ``"5MB"`` or ``"5GiB"``."""
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]I?B)\s*", size.upper())
    if not match:
        raise UnsupportedArgumentError(
            f"max_shard_size={size!r} is not a size; give bytes or '5GB', '200MB', '1GiB'."
        )
    return int(float(match[1]) * _UNITS[match[2]])


def hub_tensors(model: Any, state_dict: dict[str, Any] | None = None) -> dict[str, paddle.Tensor]:
    """Return what is saved: Hub names, tied tensors once under their source."""
    ties = model.active_ties()
    tensors = model.state_dict() if state_dict is None else state_dict
    kept = {name: t for name, t in tensors.items() if name not in ties}
    return {model.key_map.to_hub(name): tensor for name, tensor in kept.items()}


def split_shards(tensors: dict[str, paddle.Tensor], limit: int) -> list[dict[str, paddle.Tensor]]:
    """Cut in order, so that no shard exceeds ``limit`` bytes unless one tensor alone does."""
    shards: list[dict[str, paddle.Tensor]] = [{}]
    used = 0
    for name, tensor in tensors.items():
        size = tensor.size * tensor.element_size()
        if shards[-1] and used + size > limit:
            shards.append({})
            used = 0
        shards[-1][name] = tensor
        used += size
    return shards


def save_weights(
    tensors: dict[str, paddle.Tensor], folder: Path, limit: int, variant: str | None
) -> None:
    """Write ``model.safetensors``, or numbered shards and their index."""
    from hfpaddle.converters.safetensors import write_safetensors

    shards = split_shards(tensors, limit)
    tag = f".{variant}" if variant else ""
    if len(shards) == 1:
        names = [f"model{tag}.safetensors"]
    else:
        count = len(shards)
        names = [f"model{tag}-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    for name, shard in zip(names, shards, strict=True):
        write_safetensors(folder / name, shard, {"format": "pt"})
    index_name = f"model.safetensors.index{tag}.json"
    if len(shards) > 1:
        weight_map = {
            tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard
        }
        sizes = [t.size * t.element_size() for t in tensors.values()]
        count = sum(t.size for t in tensors.values())
        metadata = {"total_parameters": count, "total_size": sum(sizes)}
        write_json(folder / index_name, {"metadata": metadata, "weight_map": weight_map})
    remove_stale(folder, set(names) | ({index_name} if len(shards) > 1 else set()), tag)


def remove_stale(folder: Path, written: set[str], tag: str) -> None:
    """Delete shards of an earlier save into this folder, which the new index does not name."""
    pattern = re.compile(rf"model{re.escape(tag)}(-\d{{5}}-of-\d{{5}})?\.safetensors")
    for path in folder.iterdir():
        stale = pattern.fullmatch(path.name) or path.name == f"model.safetensors.index{tag}.json"
        if stale and path.name not in written:
            path.unlink()


def saved_config(model: Any) -> Any:
    """Return the config as it is written: architectures and dtype filled in."""
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = str(model.dtype).removeprefix("paddle.")
    return config


def save_config(model: Any, folder: Path) -> None:
    """Write config.json, and generation_config.json for models that generate."""
    if model.can_generate() and model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
    write_json(folder / "config.json", json.loads(saved_config(model).to_json_string()))


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

    Args:
        save_directory: made if absent. A file of that name raises.
        is_main_process: False writes nothing (other ranks).
        state_dict: tensors to write instead of the model's.
        push_to_hub: upload afterwards; further keywords go to `push_to_hub`.
        max_shard_size: bytes or ``"5GB"``.
        variant: ``model.<variant>.safetensors``.
    Raises: UnsupportedArgumentError for ``safe_serialization=False`` and unknown sizes.
    """
    if not safe_serialization:
        raise UnsupportedArgumentError(
            "save_pretrained: safe_serialization=False (pickled weights) is not supported "
            "(nearest: the default, safetensors)."
        )
    for key in (
        "save_peft_format",
        "save_original_format",
        "distributed_checkpoint",
        "save_function",
    ):
        if key in kwargs:
            kwargs.pop(key)
            warn_once(f"save_pretrained: {key} has no effect; the Hub's layout is written.")
    folder = Path(save_directory)
    if folder.is_file():
        raise UnsupportedArgumentError(f"save_pretrained: {folder} is a file; give a folder.")
    if not is_main_process:
        return
    folder.mkdir(parents=True, exist_ok=True)
    limit = parse_size(max_shard_size)
    save_weights(hub_tensors(model, state_dict), folder, limit, variant)
    save_config(model, folder)
    if push_to_hub:
        upload(folder, kwargs.pop("repo_id", folder.name), token=token, **kwargs)


def push_to_hub(model: Any, repo_id: str, *, token: str | bool | None = None, **kwargs: Any) -> Any:
    """Save into a temporary folder and upload it; returns huggingface_hub's CommitInfo."""
    save_keys = ("max_shard_size", "variant")
    save = {key: kwargs.pop(key) for key in save_keys if key in kwargs}
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, **save)
        return upload(Path(folder), repo_id, token=token, **kwargs)


def upload(
    folder: Path,
    repo_id: str,
    *,
    token: str | bool | None = None,
    private: bool | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    create_pr: bool = False,
    revision: str | None = None,
    **kwargs: Any,
) -> Any:
    """Create the repository if needed and upload ``folder`` through huggingface_hub."""
    from huggingface_hub import HfApi

    if kwargs:
        raise TypeError(f"push_to_hub() got unexpected keyword arguments {sorted(kwargs)}")
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    return api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        commit_message=commit_message or "Upload model",
        commit_description=commit_description,
        create_pr=create_pr,
        revision=revision,
    )
