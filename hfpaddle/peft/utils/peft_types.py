"""Names of methods and tasks, and the one call by which a method makes itself known."""

from __future__ import annotations

import enum
from typing import Any

# Values equal names: they are what adapter_config.json holds.
_METHODS = """
PROMPT_TUNING MULTITASK_PROMPT_TUNING P_TUNING PREFIX_TUNING LORA ADALORA ADAMSS BOFT
ADAPTION_PROMPT IA3 BEFT LILY LOHA LOKR OFT POLY LN_TUNING VERA FROD PVERA FOURIERFT GLORA XLORA
HRA VBLORA UNILORA CPT MISS RANDLORA ROAD TRAINABLE_TOKENS HIRA SHIRA C3A WAVEFT OSF DELORA GRALORA
CARTRIDGE TINYLORA PSOFT PEANUT SHADOW SUPERTUNING DEFT
""".split()
_TASKS = "SEQ_CLS SEQ_2_SEQ_LM CAUSAL_LM TOKEN_CLS QUESTION_ANS FEATURE_EXTRACTION".split()


class _Name(str, enum.Enum):
    """A string that is one of a fixed set; its ``str`` is that of upstream's enums."""


# Every method that upstream has; those without an implementation here are refused when used.
PeftType: Any = _Name("PeftType", [(n, n) for n in _METHODS], module=__name__)
TaskType: Any = _Name("TaskType", [(n, n) for n in _TASKS], module=__name__)


def register_peft_method(
    *,
    name: str,
    config_cls: Any,
    model_cls: Any,
    prefix: str | None = None,
    is_mixed_compatible: bool = False,
) -> None:
    """Make a method known. Called once, from the method's own package.

    Args:
        name: lower case; its upper-case form is the method's `PeftType`.
        config_cls: a subclass of PeftConfig.
        model_cls: the tuner, or the prompt encoder of a method of prompt learning.
        prefix: beginning of the names of its parameters; ``name + "_"`` by default.
        is_mixed_compatible: whether it may share a model with other methods.
    Raises: ValueError for a name that is malformed or unknown, or a tuner with another prefix;
    KeyError for a name that is taken.
    """
    from hfpaddle.peft import mapping

    if name.endswith("_") or not name.islower():
        raise ValueError(f"register_peft_method: {name!r} must be lower case and not end in '_'.")
    if name.upper() not in list(PeftType):
        raise ValueError(f"register_peft_method: PeftType has no member {name.upper()!r}.")
    kind = PeftType(name.upper())
    prefix = f"{name}_" if prefix is None else prefix
    if kind in mapping.PEFT_TYPE_TO_CONFIG_MAPPING:
        raise KeyError(f"There is already a PEFT method called {name!r}.")
    own = getattr(model_cls, "prefix", None)
    if own is not None and own != prefix:
        raise ValueError(f"Inconsistent prefixes: {prefix!r}, and {own!r} of {model_cls.__name__}.")
    mapping.PEFT_TYPE_TO_PREFIX_MAPPING[kind] = prefix
    mapping.PEFT_TYPE_TO_CONFIG_MAPPING[kind] = config_cls
    mapping.PEFT_TYPE_TO_TUNER_MAPPING[kind] = model_cls
    if is_mixed_compatible:
        mapping.PEFT_TYPE_TO_MIXED_MODEL_MAPPING[kind] = model_cls
