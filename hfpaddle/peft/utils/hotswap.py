"""A loaded LoRA adapter's tensors are replaced by another's; its name and the model stay."""

from __future__ import annotations

import math
import os
from typing import Any

import paddle
from paddle import nn

from hfpaddle.peft.config import PeftConfig
from hfpaddle.peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING, config_class, tuner_class
from hfpaddle.peft.tuners.layer_base import BaseTunerLayer
from hfpaddle.peft.tuners.matching import get_pattern_key
from hfpaddle.peft.utils.arrays import write
from hfpaddle.peft.utils.peft_types import PeftType
from hfpaddle.peft.utils.save_and_load import load_peft_weights

# Settings that must be the same in both adapters.
CONFIG_KEYS_TO_CHECK = {PeftType.LORA: ["use_rslora", "lora_dropout", "alpha_pattern", "use_dora"]}


def prepare_model_for_compiled_hotswap(
    model: nn.Layer, *, target_rank: int | None = None, config: Any = None, check_compiled: str = ""
) -> None:
    """Nothing is compiled here, and adapters of any rank can be swapped: nothing to prepare.

    Raises: ValueError if the model has no adapter layer.
    """
    if not any(isinstance(layer, BaseTunerLayer) for layer in model.sublayers(include_self=True)):
        raise ValueError("No adapter layers found on the model, make sure to load one first.")


def check_hotswap_configs_compatible(config0: Any, config1: Any) -> None:
    """Raise ValueError unless one adapter can take the other's place."""
    kinds = [config0.peft_type, config1.peft_type]
    if kinds[0] != kinds[1]:
        raise ValueError(f"Incompatible PEFT types found: {kinds[0].value} and {kinds[1].value}")
    if kinds[0] not in CONFIG_KEYS_TO_CHECK:
        raise ValueError(f"Hotswapping only supports LORA but {kinds[0].value} was passed.")
    for key in CONFIG_KEYS_TO_CHECK[kinds[0]]:
        one, other = getattr(config0, key), getattr(config1, key)
        if one != other:
            raise ValueError(f"Configs are incompatible: for {key}, {one} != {other}")


def _scaling(config: Any, key: str) -> float:
    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    rank = ranks.get(get_pattern_key(ranks, key), config.r)
    alpha = alphas.get(get_pattern_key(alphas, key), config.lora_alpha)
    return alpha / (math.sqrt(rank) if config.use_rslora else rank)


def _padded(values: paddle.Tensor, shape: list[int]) -> paddle.Tensor:
    """``values`` in the corner of zeros of ``shape``."""
    whole = paddle.zeros(shape, dtype=values.dtype)
    whole[tuple(slice(0, size) for size in values.shape)] = values
    return whole


def hotswap_adapter_from_state_dict(
    model: nn.Layer,
    state_dict: dict[str, paddle.Tensor],
    adapter_name: str,
    config: Any,
    parameter_prefix: str = "lora_",
) -> None:
    """Put tensors, named as in the model, into an adapter; what they lack becomes zero.

    A smaller rank fills the beginning of the larger one that is there; a larger one replaces it.
    Raises: RuntimeError for names that the model lacks, before anything is changed; ValueError if
    the adapter is merged.
    """
    layers = [m for m in model.sublayers(include_self=True) if isinstance(m, BaseTunerLayer)]
    if any(adapter_name in layer.merged_adapters for layer in layers):
        raise ValueError(
            f"Cannot hot-swap adapter '{adapter_name}' because it is currently merged into the "
            "base weights. Please unmerge the adapter first by calling "
            "`peft_model.unmerge_adapter()`."
        )
    own = {
        name: param
        for name, param in model.named_parameters()
        if parameter_prefix in name and adapter_name in name
    }
    unexpected = [key for key in state_dict if key not in own]
    if unexpected:
        raise RuntimeError(
            "Hot swapping the adapter did not succeed, unexpected keys found: "
            f"{', '.join(unexpected)}."
        )
    for name, param in own.items():
        if name not in state_dict:
            write(param, paddle.zeros(param.shape, dtype="float32"))
            continue
        layer: Any = model.get_submodule(".".join(name.split(".")[:-3]))
        layer.scaling[adapter_name] = _scaling(config, name)
        values, shape = state_dict[name], list(param.shape)
        if list(values.shape) == shape:
            write(param, values)
        elif all(new <= old for new, old in zip(values.shape, shape, strict=True)):
            write(param, _padded(values, shape))
        else:
            _replace(model, name, param, values)


def _replace(model: Any, name: str, param: paddle.Tensor, values: paddle.Tensor) -> None:
    """A parameter of another shape in the place of ``param``."""
    from hfpaddle.peft.utils.arrays import new_parameter

    path, _, last = name.rpartition(".")
    made = new_parameter(values, like=param)
    made.stop_gradient = param.stop_gradient
    holder = model.get_submodule(path)
    holder._parameters[last] = made


def hotswap_adapter(
    model: Any,
    model_name_or_path: str | os.PathLike,
    adapter_name: str,
    torch_device: str | None = None,
    **kwargs: Any,
) -> None:
    """Read a LoRA adapter and put it in the place of the adapter ``adapter_name``.

    Raises: ValueError for adapters whose configs do not fit, and as
    `hotswap_adapter_from_state_dict`.
    """
    own = config_class(PeftConfig._get_peft_type(model_name_or_path, **kwargs))
    config = own.from_pretrained(model_name_or_path, **kwargs)
    check_hotswap_configs_compatible(model.active_peft_config, config)
    tensors = load_peft_weights(model_name_or_path, torch_device, **kwargs)
    tuner = tuner_class(config.peft_type)
    tensors = tuner._remap_adapter_state_dict_for_load(model, config, adapter_name, tensors)
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type]
    hotswap_adapter_from_state_dict(model, tensors, adapter_name, config, prefix)
