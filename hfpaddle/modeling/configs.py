"""Configs are transformers' own; families that it lacks bring theirs."""

from __future__ import annotations

import json
import os
from typing import Any

import transformers

from hfpaddle.core.errors import (
    CheckpointError,
    MissingFileError,
    UnsupportedModelError,
    nearest,
)
from hfpaddle.modeling import registry


def own_config_class(model_type: str) -> Any:
    """Return the config class of a family that transformers does not have, or None."""
    if model_type in transformers.CONFIG_MAPPING:
        return None
    if model_type.replace("-", "_") not in registry.families():
        return None
    return getattr(registry.family_module(model_type), "CONFIG_CLASS", None)


def config_from_pretrained(name: Any, *, config_class: Any = None, **kwargs: Any) -> Any:
    """Read a config from a folder, the Hub cache, the Hub or a GGUF file.

    Returns what ``AutoConfig.from_pretrained`` returns for the same arguments.
    Raises: CheckpointError if config.json is absent or no JSON object; UnsupportedModelError naming
    the nearest known ``model_type``.
    """
    check_source(name)
    gguf_file = kwargs.pop("gguf_file", None)
    source = {"gguf_file": gguf_file} if gguf_file else {}
    kwargs.pop("trust_remote_code", None)
    try:
        if config_class is None:
            raw, _ = transformers.PretrainedConfig.get_config_dict(name, **source, **_hub(kwargs))
            model_type = raw.get("model_type")
            own = own_config_class(model_type) if model_type else None
            if model_type and own is None and model_type not in transformers.CONFIG_MAPPING:
                known = registry.families()
                raise UnsupportedModelError(
                    f"{name}: model_type {model_type!r} has no hfpaddle implementation"
                    f"{nearest(model_type, known)}. List the known types with `hfpaddle models`."
                )
            config_class = own or transformers.AutoConfig
        return config_class.from_pretrained(name, **source, **kwargs)
    except OSError as error:
        raise CheckpointError(_explain(name, error)) from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{name}: config.json is not valid JSON: {error}.") from error


def check_source(name: Any) -> None:
    """Raise MissingFileError for what can only be a local path and is not there."""
    text = str(name)
    is_path = text.startswith(("/", "./", "../", "~", ".\\")) or text.count("/") > 1
    if is_path and not os.path.exists(text):
        raise MissingFileError(
            f"{text} does not exist. Give a folder with config.json and weights, or a Hub id "
            "such as 'Qwen/Qwen3-0.6B'."
        )


def _hub(kwargs: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "cache_dir",
        "force_download",
        "local_files_only",
        "token",
        "revision",
        "subfolder",
    )
    return {key: kwargs[key] for key in keys if key in kwargs}


def _explain(name: Any, error: OSError) -> str:
    """Say what is wrong with a local folder; the Hub's own message otherwise."""
    if isinstance(error, CheckpointError):
        return str(error)
    if os.path.isdir(name) and not os.path.exists(os.path.join(name, "config.json")):
        found = sorted(os.listdir(name))[:8]
        return (
            f"{name} does not appear to have a file named config.json; it has {found}. "
            "Give a folder written by save_pretrained, or gguf_file=... for a GGUF file."
        )
    return str(error)
