"""Adapters on a model itself, without a PeftModel around it; see `hfpaddle.modeling.adapters`."""

from __future__ import annotations

import os
from typing import Any

from hfpaddle.converters.safetensors import write_safetensors
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.peft.config import PeftConfig
from hfpaddle.peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING, inject_adapter_in_model
from hfpaddle.peft.tuners import tuners_utils
from hfpaddle.peft.tuners.layer_base import BaseTunerLayer
from hfpaddle.peft.utils.constants import SAFETENSORS_WEIGHTS_NAME
from hfpaddle.peft.utils.save_and_load import (
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from hfpaddle.peft.utils.wrappers import ModulesToSaveWrapper


def _check_loaded(model: Any) -> None:
    if not model._hf_peft_config_loaded:
        raise ValueError("No adapter loaded. Please load an adapter first.")


def _check_free(model: Any, name: str) -> None:
    if model._hf_peft_config_loaded and name in model.peft_config:
        raise ValueError(f"Adapter with name {name} already exists. Please use a different name.")


def _layers(model: Any, *kinds: type) -> list[Any]:
    return [layer for layer in model.sublayers(include_self=True) if isinstance(layer, kinds)]


def load_adapter(
    model: Any,
    source: Any = None,
    name: str | None = None,
    peft_config: Any = None,
    adapter_state_dict: dict[str, Any] | None = None,
    low_cpu_mem_usage: bool = False,
    is_trainable: bool = False,
    hotswap: Any = "auto",
    local_files_only: bool = False,
    adapter_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """See `AdapterMixin.load_adapter`. ``low_cpu_mem_usage`` is accepted without effect.

    Raises: UnsupportedArgumentError for ``hotswap=True``.
    """
    if hotswap is True:
        raise UnsupportedArgumentError(
            "load_adapter: hotswap=True is not implemented. Delete the adapter and load the other."
        )
    name = name or "default"
    _check_free(model, name)
    hub = {**kwargs, **(adapter_kwargs or {})}
    if local_files_only:
        hub["local_files_only"] = True
    if source is None and (adapter_state_dict is None or peft_config is None):
        raise ValueError(
            "You should either pass a `peft_model_id` or a `peft_config` and `adapter_state_dict` "
            "to load an adapter."
        )
    if peft_config is None:
        peft_config = PeftConfig.from_pretrained(source, **hub)
    tensors = adapter_state_dict
    if tensors is None:
        tensors = load_peft_weights(source, **hub)
    peft_config.inference_mode = not is_trainable
    inject_adapter_in_model(peft_config, model, name)
    model._hf_peft_config_loaded = True
    result = set_peft_model_state_dict(model, tensors, name)
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING[peft_config.peft_type]
    result.missing_keys[:] = [k for k in result.missing_keys if prefix in k and f".{name}" in k]
    if not is_trainable:
        model.eval()
    return result


def add_adapter(model: Any, config: Any, name: str | None = None) -> None:
    """See `AdapterMixin.add_adapter`."""
    name = name or "default"
    _check_free(model, name)
    if not isinstance(config, PeftConfig):
        raise TypeError(
            f"adapter_config should be an instance of PeftConfig. Got {type(config)} instead."
        )
    config.base_model_name_or_path = getattr(model, "name_or_path", None)
    inject_adapter_in_model(config, model, name)
    model._hf_peft_config_loaded = True
    set_adapter(model, name)


def set_adapter(model: Any, names: list[str] | str) -> None:
    """See `AdapterMixin.set_adapter`."""
    _check_loaded(model)
    wanted = [names] if isinstance(names, str) else names
    missing = [name for name in wanted if name not in model.peft_config]
    if missing:
        raise ValueError(
            f"Adapter with name {', '.join(missing)} not found. Please pass the correct adapter "
            f"name among {list(model.peft_config)}"
        )
    for layer in _layers(model, BaseTunerLayer, ModulesToSaveWrapper):
        layer.set_adapter(names)


def enable_adapters(model: Any, enabled: bool) -> None:
    """See `AdapterMixin.enable_adapters` and `disable_adapters`."""
    _check_loaded(model)
    for layer in _layers(model, BaseTunerLayer, ModulesToSaveWrapper):
        layer.enable_adapters(enabled)


def active_adapters(model: Any) -> list[str]:
    """See `AdapterMixin.active_adapters`."""
    _check_loaded(model)
    return _layers(model, BaseTunerLayer)[0].active_adapters


def get_adapter_state_dict(
    model: Any, name: str | None = None, state_dict: dict | None = None
) -> dict[str, Any]:
    """See `AdapterMixin.get_adapter_state_dict`."""
    _check_loaded(model)
    name = active_adapters(model)[0] if name is None else name
    return get_peft_model_state_dict(model, state_dict=state_dict, adapter_name=name)


def delete_adapter(model: Any, names: list[str] | str) -> None:
    """See `AdapterMixin.delete_adapter`."""
    _check_loaded(model)
    names = [names] if isinstance(names, str) else names
    missing = [name for name in names if name not in model.peft_config]
    if missing:
        raise ValueError(
            f"The following adapter(s) are not present and cannot be deleted: {', '.join(missing)}"
        )
    for name in names:
        prefix = PEFT_TYPE_TO_PREFIX_MAPPING[model.peft_config[name].peft_type]
        tuners_utils.delete_adapter(model, name, prefix)
        del model.peft_config[name]
    if not model.peft_config:
        del model.peft_config
        model._hf_peft_config_loaded = False


def save_pretrained(model: Any, folder: Any, state_dict: dict | None = None) -> None:
    """Write the active adapter alone, under peft's names.

    Raises: ValueError if several are active.
    """
    active = active_adapters(model)
    if len(active) > 1:
        raise ValueError(
            "Multiple active adapters detected, saving multiple active adapters is not supported "
            "yet. Save adapters one at a time: `model.set_adapter(name)` before each."
        )
    tensors = get_adapter_state_dict(model, active[0], state_dict)
    os.makedirs(folder, exist_ok=True)
    tensors = {f"base_model.model.{key}": value for key, value in tensors.items()}
    write_safetensors(os.path.join(folder, SAFETENSORS_WEIGHTS_NAME), tensors, {"format": "pt"})
    model.peft_config[active[0]].save_pretrained(folder)
