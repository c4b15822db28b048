"""Small tools, and the modules that are trained in full beside an adapter."""

from __future__ import annotations

import os
import warnings
from typing import Any

import paddle
from paddle import nn

from hfpaddle.peft.tuners.matching import get_pattern_key, match_target_against_key
from hfpaddle.peft.utils.arrays import move_like
from hfpaddle.peft.utils.constants import (
    CONFIG_NAME,
    EMBEDDING_LAYER_NAMES,
    INCLUDE_LINEAR_LAYERS_SHORTHAND,
    SAFETENSORS_WEIGHTS_NAME,
    TOKENIZER_CONFIG_NAME,
    WEIGHTS_NAME,
)
from hfpaddle.peft.utils.wrappers import AuxiliaryTrainingWrapper, ModulesToSaveWrapper

__all__ = [
    "AuxiliaryTrainingWrapper", "CONFIG_NAME", "EMBEDDING_LAYER_NAMES",
    "INCLUDE_LINEAR_LAYERS_SHORTHAND", "ModulesToSaveWrapper", "SAFETENSORS_WEIGHTS_NAME",
    "TOKENIZER_CONFIG_NAME", "WEIGHTS_NAME", "cast_mixed_precision_params", "get_pattern_key",
    "infer_device", "match_target_against_key", "prepare_model_for_kbit_training",
    "set_additional_trainable_modules", "shift_tokens_right", "transpose",
]  # fmt: skip


def infer_device() -> str:
    """The device that tensors are made on, in torch's words."""
    kind = paddle.device.get_device().split(":")[0]
    return "cuda" if kind == "gpu" else kind


def transpose(weight: paddle.Tensor, fan_in_fan_out: bool) -> paddle.Tensor:
    """``weight`` as ``[out, in]``, if it is ``[in, out]`` and the flag says so."""
    return weight.T if fan_in_fan_out else weight


def prepare_model_for_kbit_training(
    model: Any,
    use_gradient_checkpointing: bool = True,
    gradient_checkpointing_kwargs: dict[str, Any] | None = None,
    auto_clear_cache: bool = True,
) -> Any:
    """Freeze the model, keep its half-precision parameters in float32, and for quantized models
    turn on recomputation with gradients at the embedding's output.

    Args:
        auto_clear_cache: accepted; nothing is cached here.
    """
    quantized = getattr(model, "is_loaded_in_8bit", False) or getattr(
        model, "is_loaded_in_4bit", False
    )
    method = getattr(model, "quantization_method", None)
    wide = paddle.zeros([1], dtype="float32")
    for param in model.parameters():
        param.stop_gradient = True
        if method is None and param.dtype in (paddle.float16, paddle.bfloat16):
            move_like(param, wide.to(param.place))
    if (quantized or method is not None) and use_gradient_checkpointing:
        kwargs = gradient_checkpointing_kwargs or {}
        if kwargs.get("use_reentrant", True):
            model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)
    return model


def cast_mixed_precision_params(model: nn.Layer, dtype: Any) -> None:
    """Store frozen parameters as ``dtype`` and trainable ones as float32."""
    from hfpaddle.core.dtypes import as_dtype

    frozen, trained = paddle.zeros([1], dtype=as_dtype(dtype)), paddle.zeros([1], dtype="float32")
    for param in model.parameters():
        move_like(param, (frozen if param.stop_gradient else trained).to(param.place))


def shift_tokens_right(
    input_ids: paddle.Tensor, pad_token_id: int, decoder_start_token_id: int
) -> paddle.Tensor:
    """Labels ``[B, S]`` as decoder inputs: moved right by one, -100 as padding."""
    if pad_token_id is None:
        raise ValueError("self.model.config.pad_token_id has to be defined.")
    start = paddle.full_like(input_ids[:, :1], decoder_start_token_id)
    shifted = paddle.concat([start, input_ids[:, :-1]], axis=1)
    return paddle.where(shifted == -100, paddle.full_like(shifted, pad_token_id), shifted)


def _get_batch_size(input_ids: Any, inputs_embeds: Any) -> int:
    if input_ids is None and inputs_embeds is None:
        raise ValueError("You have to provide either input_ids or inputs_embeds")
    return int((inputs_embeds if input_ids is None else input_ids).shape[0])


def _get_submodules(model: nn.Layer, key: str) -> tuple[nn.Layer, nn.Layer, str]:
    parent, _, name = key.rpartition(".")
    return model.get_submodule(parent), model.get_submodule(key), name


def _get_input_embeddings_name(model: Any, default: str | None = None) -> str | None:
    if hasattr(model, "get_input_embeddings"):
        table = model.get_input_embeddings()
        for name, module in model.named_sublayers(include_self=True):
            if module is table:
                return name
    return default


def _freeze_adapter(model: nn.Layer, adapter_name: str) -> None:
    for name, param in model.named_parameters():
        if adapter_name in name:
            param.stop_gradient = True


def _set_adapter(
    model: nn.Layer, adapter_name: str | list[str], inference_mode: bool = False
) -> None:
    """Activate adapters in the modules that are trained in full."""
    for module in model.sublayers(include_self=True):
        if isinstance(module, AuxiliaryTrainingWrapper):
            name = module.check_set_adapter(adapter_name)
            module.set_adapter(name if name in module._adapters else [], inference_mode)


def _set_trainable(
    model: nn.Layer,
    adapter_name: str,
    module_names: list[str] | None,
    inference_mode: bool,
    strict_module_check: bool = False,
    wrapper_cls: Any = ModulesToSaveWrapper,
    activate_adapter: bool = True,
    **wrapper_kwargs: Any,
) -> None:
    """Wrap every module whose name ends in one of ``module_names``, or add the adapter to it.

    Raises: ValueError for parts of adapter layers, and with ``strict_module_check`` if no module
    is found.
    """
    from hfpaddle.peft.tuners.layer_base import BaseTunerLayer

    if not module_names:
        return
    found = False
    for key in [name for name, _ in model.named_sublayers(remove_duplicate=False)]:
        if not any(key.endswith(name) for name in module_names):
            continue
        parent, target, name = _get_submodules(model, key)
        grandparent = model.get_submodule(".".join(key.split(".")[:-2]))
        if isinstance(grandparent, BaseTunerLayer):
            raise ValueError(
                f"You are trying to target a module with {wrapper_cls} that is a child of "
                f"{type(grandparent)}. Please ensure that the adapter name, '{adapter_name}', does "
                "not conflict with any of the targeted modules."
            )
        found = True
        inner = grandparent if isinstance(grandparent, wrapper_cls) else target
        if isinstance(inner, wrapper_cls):
            inner.update(adapter_name, **wrapper_kwargs)
            inner.set_adapter(inner.active_adapter, inference_mode)
            continue
        wrapper = wrapper_cls(target, adapter_name, **wrapper_kwargs)
        wrapper.set_adapter(adapter_name if activate_adapter else [], inference_mode)
        setattr(parent, name, wrapper)
    if strict_module_check and not found:
        raise ValueError(
            f"Target modules {set(module_names)} not found in the base model. Please check the "
            "target modules and try again."
        )


def set_additional_trainable_modules(
    model: nn.Layer,
    peft_config: Any,
    adapter_name: str,
    activate_adapter: bool = True,
    tied: list[str] | None = None,
) -> None:
    """Wrap ``modules_to_save`` and what ``trainable_token_indices`` names.

    Args:
        tied: names of the modules that share the input embedding's weight.
    """
    if getattr(peft_config, "modules_to_save", None) is not None:
        _set_trainable(
            model,
            adapter_name,
            peft_config.modules_to_save,
            peft_config.inference_mode,
            activate_adapter=activate_adapter,
        )
    if getattr(peft_config, "trainable_token_indices", None) is not None:
        from hfpaddle.peft.tuners.trainable_tokens.wrapper import set_trainable_tokens

        set_trainable_tokens(model, peft_config, adapter_name, tied or [], activate_adapter)


def _prepare_prompt_learning_config(peft_config: Any, model_config: Any) -> Any:
    """Fill in the sizes of the base model.

    Raises: ValueError naming the size that the model's config does not tell.
    """
    config = model_config.to_dict() if hasattr(model_config, "to_dict") else dict(model_config)
    config = config.get("text_config", config)

    def first(field: str, *names: str) -> Any:
        if getattr(peft_config, field) is None:
            value = next((config[name] for name in names if config.get(name) is not None), None)
            if value is None:
                raise ValueError(f"Please specify `{field}` in `peft_config`")
            setattr(peft_config, field, value)

    first("num_layers", "num_hidden_layers", "num_layers", "n_layer")
    first("token_dim", "hidden_size", "n_embd", "d_model")
    heads = ("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads")
    first("num_attention_heads", *heads)
    if peft_config.peft_type == "PREFIX_TUNING" and "num_key_value_heads" in config:
        # Grouped heads: the cache holds fewer heads than there are queries.
        size = config.get("head_dim") or peft_config.token_dim // peft_config.num_attention_heads
        peft_config.token_dim = size * config["num_key_value_heads"]
        peft_config.num_attention_heads = config["num_key_value_heads"]
    if getattr(peft_config, "encoder_hidden_size", 0) is None:
        peft_config.encoder_hidden_size = peft_config.token_dim
    return peft_config


def check_file_exists_on_hf_hub(repo_id: str, filename: str, **kwargs: Any) -> bool | None:
    """Whether the Hub has the file; None if it cannot be asked."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "on", "yes", "true", "y", "t"):
        return None
    from huggingface_hub import file_exists
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return file_exists(repo_id, filename, **kwargs)
    except (HFValidationError, EntryNotFoundError):
        return None
    except Exception as error:  # no network: say so and go on, as upstream
        warnings.warn(f"Could not ask the Hub for {filename} of {repo_id}: {error}", stacklevel=2)
        return None
