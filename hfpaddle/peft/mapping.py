"""Tables of the known methods, filled as they register, and injection without a wrapper."""

from __future__ import annotations

from typing import Any

from hfpaddle.core.errors import MissingFeatureError

PEFT_TYPE_TO_CONFIG_MAPPING: dict[Any, Any] = {}
PEFT_TYPE_TO_TUNER_MAPPING: dict[Any, Any] = {}
PEFT_TYPE_TO_MIXED_MODEL_MAPPING: dict[Any, Any] = {}
PEFT_TYPE_TO_PREFIX_MAPPING: dict[Any, str] = {}


def config_class(peft_type: Any) -> Any:
    """Return the config class of a method. Raises: KeyError for a name that peft does not know."""
    return PEFT_TYPE_TO_CONFIG_MAPPING[peft_type]


def tuner_class(peft_type: Any) -> Any:
    """Return the tuner of a method, or its prompt encoder.

    Raises: KeyError for a name that peft does not know, MissingFeatureError for a method that has
    a config only.
    """
    from hfpaddle.peft.tuners.configs import NEAREST

    if peft_type in PEFT_TYPE_TO_TUNER_MAPPING:
        return PEFT_TYPE_TO_TUNER_MAPPING[peft_type]
    name = getattr(peft_type, "value", peft_type)
    config = PEFT_TYPE_TO_CONFIG_MAPPING[peft_type].__name__
    near = PEFT_TYPE_TO_CONFIG_MAPPING[NEAREST[name]].__name__
    known = sorted(str(kind.value) for kind in PEFT_TYPE_TO_TUNER_MAPPING)
    raise MissingFeatureError(
        f"peft: the method {name} ({config}) has no implementation in hfpaddle; its config can be "
        f"read and written. Nearest: {near}. Implemented: {', '.join(known)}."
    )


def get_peft_config(config_dict: dict[str, Any]) -> Any:
    """Build the config that ``config_dict["peft_type"]`` names from the other entries."""
    return config_class(config_dict["peft_type"])(**config_dict)


def inject_adapter_in_model(
    peft_config: Any,
    model: Any,
    adapter_name: str = "default",
    low_cpu_mem_usage: bool = False,
    state_dict: dict[str, Any] | None = None,
) -> Any:
    """Put adapter layers into ``model`` in place and return it, without a PeftModel around it.

    Args:
        low_cpu_mem_usage: accepted; adapters are small and are made at once.
        state_dict: if given, its names tell which modules get an adapter.
    Raises: ValueError for methods of prompt learning, which change the call and not the layers.
    """
    tuner_cls = tuner_class(peft_config.peft_type)
    if peft_config.is_prompt_learning or peft_config.is_adaption_prompt:
        raise ValueError("`inject_adapter_in_model` does not support prompt learning methods.")
    if tuner_cls.uses_shared_state:
        raise ValueError(
            f"`inject_adapter_in_model` does not support {peft_config.peft_type}: its layers share "
            "state that the tuner keeps. Use `get_peft_model`."
        )
    tuner = tuner_cls(
        model,
        peft_config,
        adapter_name=adapter_name,
        low_cpu_mem_usage=low_cpu_mem_usage,
        state_dict=state_dict,
    )
    return tuner.model
