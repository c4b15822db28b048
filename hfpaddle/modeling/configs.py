"""Configs are transformers' own; families that it lacks bring theirs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import constants
from huggingface_hub.errors import StrictDataclassError

from hfpaddle.core.errors import (
    CheckpointError,
    HfpaddleError,
    MissingFileError,
    UnsupportedConfigError,
    UnsupportedModelError,
    nearest,
)
from hfpaddle.modeling import hub, registry


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
    hub.check_source(name)
    kwargs.pop("trust_remote_code", None)
    gguf_file = kwargs.pop("gguf_file", None)
    if gguf_file:
        return _config_of_gguf(name, gguf_file, kwargs)
    try:
        model_type = _read_json(name, kwargs).get("model_type")
        if config_class is None:
            config_class = _class_for(model_type, name)
        return config_class.from_pretrained(name, **kwargs)
    except HfpaddleError:
        raise
    except OSError as error:
        raise _explained(name, kwargs, error) from error
    except (StrictDataclassError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnsupportedConfigError(
            f"{name}: config.json is refused: {type(error).__name__}: {error}"
        ) from error


def _read_json(name: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return config.json as it is. Raises: MissingFileError, CheckpointError."""
    if os.path.isfile(name):
        path = Path(name)
    else:
        path = hub.find_file(name, "config.json", **kwargs)
    if path is None:
        raise _explained(name, kwargs, OSError(_nothing_found(name, kwargs)))
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: config.json is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise CheckpointError(f"{name}: config.json holds a {kind}, not a JSON object.")
    return value


def _nothing_found(name: Any, kwargs: dict[str, Any]) -> str:
    """Say why a Hub id gave no config.json; offline in the words of transformers."""
    if kwargs.get("local_files_only") or constants.is_offline_mode():
        return (
            f"We couldn't connect to '{constants.ENDPOINT}' to load the files, and couldn't find "
            "them in the cached files. Download the model first, or unset HF_HUB_OFFLINE and "
            "local_files_only."
        )
    return "it has no file named config.json."


def _class_for(model_type: Any, name: Any) -> Any:
    """Return the class that reads a config.json with this ``model_type``."""
    if not isinstance(model_type, str):
        raise UnsupportedModelError(
            f"{name}: config.json says model_type = {model_type!r}, which is no name. Add the "
            "model_type, or load with the class for it. List the known with `hfpaddle models`."
        )
    if model_type in transformers.CONFIG_MAPPING:
        return transformers.AutoConfig
    own = own_config_class(model_type)
    if own is None:
        raise UnsupportedModelError(
            f"{name}: model_type {model_type!r} has no hfpaddle implementation"
            f"{nearest(model_type, registry.families())}. "
            "List the known types with `hfpaddle models`."
        )
    return own


def _config_of_gguf(name: Any, gguf_file: str, kwargs: dict[str, Any]) -> Any:
    """Return the config that a GGUF file's metadata describe; keywords override its fields."""
    from hfpaddle.converters.gguf import read_gguf

    path = hub.need_file(name, gguf_file, **kwargs)
    config = transformers.AutoConfig.for_model(**read_gguf(path).config)
    unused = {key: value for key, value in kwargs.items() if key not in hub.WHERE}
    give_unused = unused.pop("return_unused_kwargs", False)
    for key in [key for key in unused if hasattr(config, key)]:
        setattr(config, key, unused.pop(key))
    return (config, unused) if give_unused else config


def _explained(name: Any, kwargs: dict[str, Any], error: OSError) -> CheckpointError:
    """Say what is wrong with a local folder; add the name to the Hub's own message otherwise."""
    folder = os.path.join(name, kwargs.get("subfolder") or "")
    if os.path.isdir(name) and not os.path.exists(os.path.join(folder, "config.json")):
        found = sorted(os.listdir(folder))[:8] if os.path.isdir(folder) else "no such folder"
        return MissingFileError(
            f"{folder} does not appear to have a file named config.json; it has {found}. "
            "Give a folder written by save_pretrained, or gguf_file=... for a GGUF file."
        )
    revision = kwargs.get("revision")
    at = f" (revision {str(revision)!r})" if revision else ""
    return CheckpointError(f"{name}{at}: {error}")
