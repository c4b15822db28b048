"""The tensors of an adapter: out of a model, into a model, and from a folder or the Hub."""

from __future__ import annotations

import os
import re
import warnings
from collections import namedtuple
from pathlib import Path
from typing import Any

import paddle

from hfpaddle.converters.safetensors import read_safetensors
from hfpaddle.converters.torch_pickle import read_torch
from hfpaddle.core.errors import WeightMismatchError
from hfpaddle.peft.mapping import tuner_class
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import write
from hfpaddle.peft.utils.constants import (
    EMBEDDING_LAYER_NAMES,
    INCLUDE_LINEAR_LAYERS_SHORTHAND,
    SAFETENSORS_WEIGHTS_NAME,
    WEIGHTS_NAME,
)
from hfpaddle.peft.utils.other import check_file_exists_on_hf_hub
from hfpaddle.peft.utils.peft_types import PeftType
from hfpaddle.peft.utils.wrappers import AuxiliaryTrainingWrapper

_PREFIX = "base_model.model."
IncompatibleKeys = namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


def _of_other_adapters(key: str, others: list[str]) -> bool:
    return any(f".{name}." in key or key.endswith(f".{name}") for name in others)


def get_peft_model_state_dict(
    model: Any,
    state_dict: dict[str, Any] | None = None,
    adapter_name: str = "default",
    unwrap_compiled: bool = False,
    save_embedding_layers: bool | str = "auto",
) -> dict[str, paddle.Tensor]:
    """Return the tensors of one adapter under the names that a file holds them by.

    Args:
        state_dict: the model's tensors, if they are not the model's own.
        unwrap_compiled: accepted; models are not compiled.
        save_embedding_layers: also the embeddings; "auto" does so if the adapter targets them or
            the vocabulary was resized.
    """
    config = model.peft_config[adapter_name]
    tuner = tuner_class(config.peft_type)
    tensors = dict(model.state_dict() if state_dict is None else state_dict)
    if not config.is_prompt_learning:
        others = [name for name in model.peft_config if name != adapter_name]
        own = {k: v for k, v in tensors.items() if not _of_other_adapters(k, others)}
        tensors = own or tensors
    found = tuner._get_adapter_state_dict(model, config, adapter_name, tensors)
    for name, module in model.named_sublayers(include_self=True):
        if isinstance(module, AuxiliaryTrainingWrapper):
            below = {k.removeprefix(f"{name}."): v for k, v in tensors.items()}
            saved = module.adapter_state_dict(adapter_name, below)
            found |= {f"{name}.{key}": value for key, value in saved.items()}
    found |= _embeddings(model, config, tensors, save_embedding_layers)
    return {tuner._remove_adapter_name_from_key(k, adapter_name): v for k, v in found.items()}


def _targets_embedding(model: Any, config: Any) -> bool:
    targets = getattr(config, "target_modules", None)
    if isinstance(targets, str):
        if targets == INCLUDE_LINEAR_LAYERS_SHORTHAND:
            return False
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        return any(
            re.fullmatch(targets, name) and name.split(".")[-1] in EMBEDDING_LAYER_NAMES
            for name, _ in base.named_sublayers()
        )
    return any(name in (targets or ()) for name in EMBEDDING_LAYER_NAMES)


def _resized(model: Any, config: Any) -> bool:
    """Whether the vocabulary differs from that of the base model on disk or on the Hub."""
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    source = getattr(config, "base_model_name_or_path", None)
    if not size or not source:
        return False
    exists: Any = os.path.exists(os.path.join(source, "config.json"))
    exists = exists or check_file_exists_on_hf_hub(source, "config.json")
    if exists is None:
        warnings.warn(
            f"Could not find a config file in {source} - will assume that the vocabulary was not "
            "modified.",
            stacklevel=4,
        )
    return bool(exists) and size != type(model.config).from_pretrained(source).vocab_size


def _embeddings(model: Any, config: Any, tensors: dict[str, Any], wanted: Any) -> dict[str, Any]:
    targeted = _targets_embedding(model, config)
    if wanted == "auto":
        tokens = config.peft_type == PeftType.TRAINABLE_TOKENS
        tokens = tokens or getattr(config, "trainable_token_indices", None) is not None
        if targeted and not tokens:
            warnings.warn(
                "Setting `save_embedding_layers` to `True` as embedding layers found in "
                "`target_modules`.",
                stacklevel=3,
            )
            wanted = True
        else:
            wanted = _resized(model, config)
            if wanted:
                warnings.warn(
                    "Setting `save_embedding_layers` to `True` as the embedding layer has been "
                    "resized during finetuning.",
                    stacklevel=3,
                )
    if not wanted:
        return {}
    if not hasattr(model, "get_input_embeddings"):
        warnings.warn("Could not identify the embedding layers of this model.", stacklevel=3)
        return {}
    found = {}
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        base = getattr(layer, "base_layer", None)
        if targeted and not (layers.is_linear(base) or layers.is_embedding(base)):
            continue
        for name, module in model.named_sublayers():
            if module is not None and module is (base if targeted else layer):
                found |= {k: v for k, v in tensors.items() if k.startswith(f"{name}.")}
                break
    return found


def load_into(model: Any, tensors: dict[str, Any], ignore_mismatched_sizes: bool = False) -> Any:
    """Copy tensors into those of the model with the same names.

    Returns: `IncompatibleKeys`. Raises: WeightMismatchError for another shape, unless mismatched
    sizes are to be ignored with a warning.
    """
    targets = model.state_dict()
    problems, given = [], {}
    for name, value in tensors.items():
        if name not in targets:
            continue
        ours, theirs = list(targets[name].shape), list(value.shape)
        if ours == theirs:
            given[name] = value
        else:
            problems.append(f"size mismatch for {name}: checkpoint {theirs}, model {ours}")
    if problems and not ignore_mismatched_sizes:
        text = "\n\t".join(problems)
        raise WeightMismatchError(
            f"Error(s) in loading state_dict for {type(model).__name__}:\n\t{text}"
        )
    if problems:
        warnings.warn(
            "Some weights were not initialized from the checkpoint because you passed "
            f"`ignore_mismatched_sizes=True`: {problems}.",
            stacklevel=3,
        )
    for name, value in given.items():
        write(targets[name], value)
    missing = [name for name in targets if name not in given]
    return IncompatibleKeys(missing, [name for name in tensors if name not in targets])


def set_peft_model_state_dict(
    model: Any,
    peft_model_state_dict: dict[str, Any],
    adapter_name: str = "default",
    ignore_mismatched_sizes: bool = False,
    low_cpu_mem_usage: bool = False,
) -> Any:
    """Put an adapter's tensors, named as in a file, into the adapter ``adapter_name``.

    Returns: names that are missing in the file (the base model's among them) and those that the
    model has no place for. Raises: WeightMismatchError for another shape.
    """
    config = model.peft_config[adapter_name]
    tensors = dict(peft_model_state_dict)
    for name, module in model.named_sublayers(include_self=True):
        if isinstance(module, AuxiliaryTrainingWrapper):
            for key, ours in module.adapter_state_dict_load_map(adapter_name).items():
                filed = f"{name}.{key}"
                filed = filed if filed in tensors else f"{_PREFIX}{filed}"
                tensors[f"{name}.{ours}"] = tensors.pop(filed)
    tuner = tuner_class(config.peft_type)
    tensors = tuner._remap_adapter_state_dict_for_load(model, config, adapter_name, tensors)
    if not any(name.startswith(_PREFIX) for name, _ in model.named_parameters()):
        tensors = {key.removeprefix(_PREFIX): value for key, value in tensors.items()}
    result = load_into(model, tensors, ignore_mismatched_sizes)
    if config.is_prompt_learning:
        model.prompt_encoder[adapter_name]._load_adapter_state_dict(tensors)
    return result


def _find_weights(model_id: Any, hub: dict[str, Any]) -> Path:
    """The local path of an adapter's weights, fetched if need be; safetensors first."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError
    from transformers.utils.hub import http_user_agent

    folder = Path(model_id, hub.get("subfolder") or "")
    for name in (SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME):
        if (folder / name).exists():
            return folder / name
    hub = {"user_agent": http_user_agent(), **hub}
    if "use_auth_token" in hub:
        hub["token"] = hub.pop("use_auth_token")
    for name in (SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME):
        try:
            return Path(hf_hub_download(str(model_id), name, **hub))
        except EntryNotFoundError:  # LocalEntryNotFoundError is one, too
            continue
    raise ValueError(
        f"Can't find weights for {model_id} in {model_id} or in the Hugging Face Hub. Please check "
        f"that the file {WEIGHTS_NAME} or {SAFETENSORS_WEIGHTS_NAME} is present at {model_id}."
    )


def load_peft_weights(
    model_id: str | os.PathLike,
    device: str | None = None,
    key_mapping: dict[str, str] | None = None,
    **hf_hub_download_kwargs: Any,
) -> dict[str, paddle.Tensor]:
    """Read an adapter's tensors from a folder, the Hub cache or the Hub.

    Args:
        device: where to put them; the current device by default.
        key_mapping: regular expression -> replacement, for names below the prefix.
    Raises: ValueError if there are none; UnsafeCheckpointError for pickles with more than tensors.
    """
    path = _find_weights(model_id, hf_hub_download_kwargs)
    read = read_safetensors if path.name.endswith(".safetensors") else read_torch
    tensors = {name: entry.load() for name, entry in read(path).items()}
    if device is not None:
        from hfpaddle import backends

        place = backends.resolve_device(device)
        tensors = {k: v if v.place == place else v.to(place) for k, v in tensors.items()}
    if not key_mapping:
        return tensors
    renamed = {}
    for key, value in tensors.items():
        prefix = _PREFIX if key.startswith(_PREFIX) else "base_model."
        rest = key.removeprefix(prefix)
        for pattern, replacement in key_mapping.items():
            new, count = re.subn(pattern, replacement, rest)
            if count:
                rest = new
                break
        renamed[prefix + rest] = value
    return renamed


def is_shared_parameter(config: Any, key: str) -> bool:
    """Whether a name missing in a file is none of its own (prompts are saved as what they give)."""
    return config.is_prompt_learning and "prompt_encoder" in key
