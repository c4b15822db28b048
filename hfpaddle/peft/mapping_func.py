"""From a model and a config to a model with an adapter."""

from __future__ import annotations

import warnings
from typing import Any

from paddle import nn

from hfpaddle.peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
from hfpaddle.peft.mapping import tuner_class
from hfpaddle.peft.mixed_model import PeftMixedModel
from hfpaddle.peft.peft_model import PeftModel, _check_name
from hfpaddle.peft.tuners.tuners_utils import BaseTunerLayer


def get_peft_model(
    model: nn.Layer,
    peft_config: Any,
    adapter_name: str = "default",
    mixed: bool = False,
    autocast_adapter_dtype: bool = True,
    revision: str | None = None,
    low_cpu_mem_usage: bool = False,
) -> Any:
    """Put an adapter into ``model``, in place, and return the PeftModel of the config's task.

    Args:
        mixed: a `PeftMixedModel`, which takes adapters of several methods.
        autocast_adapter_dtype: adapters are float32 where the model is stored in half precision.
        revision: of the base model, noted in the config.
        low_cpu_mem_usage: accepted without effect.
    Raises: MissingFeatureError for methods without an implementation; NoMatchingPeftModuleError
    if the config targets nothing.
    """
    tuner_class(peft_config.peft_type)  # before anything is noted or changed
    old, new = peft_config.base_model_name_or_path, getattr(model, "name_or_path", None) or None
    peft_config.base_model_name_or_path = new
    if any(isinstance(layer, BaseTunerLayer) for layer in model.sublayers(include_self=True)):
        warnings.warn(
            "You are trying to modify a model with PEFT for a second time. If you want to reload "
            "the model with a different config, make sure to call `.unload()` before.",
            stacklevel=2,
        )
    if old is not None and old != new:
        warnings.warn(
            f"The PEFT config's `base_model_name_or_path` was renamed from '{old}' to '{new}'. "
            "Please ensure that the correct base model is loaded when loading this checkpoint.",
            stacklevel=2,
        )
    if revision is not None:
        if peft_config.revision not in (None, revision):
            warnings.warn(
                f"peft config has already set base model revision to {peft_config.revision}, "
                f"overwriting with revision {revision}",
                stacklevel=2,
            )
        peft_config.revision = revision
    _check_name(adapter_name, peft_config)
    if mixed:
        return PeftMixedModel(model, peft_config, adapter_name=adapter_name)
    made = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(peft_config.task_type, PeftModel)
    if made is PeftModel and peft_config.is_prompt_learning:
        raise KeyError(peft_config.task_type)  # as the original: the task tells where prompts go
    return made(
        model, peft_config, adapter_name=adapter_name, autocast_adapter_dtype=autocast_adapter_dtype
    )
