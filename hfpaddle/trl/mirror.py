"""How a name of trl is found here: ours, or a stand-in that raises when it is used."""

from __future__ import annotations

import importlib
from typing import Any

from hfpaddle.core.errors import nearest
from hfpaddle.core.quiet import import_transformers
from hfpaddle.core.stand_in import stand_in

PACKAGE = "hfpaddle.trl"
TRAINER = f"{PACKAGE}.trainer"

# Package -> module of ours -> the names that both have.
_OURS: dict[str, dict[str, str]] = {
    PACKAGE: {
        "chat_template_utils": "clone_chat_template get_training_chat_template",
        "data_utils": (
            "apply_chat_template extract_prompt is_conversational is_conversational_from_value "
            "maybe_apply_chat_template maybe_convert_to_chatml maybe_extract_prompt "
            "maybe_unpair_preference_dataset pack_dataset truncate_dataset "
            "unpair_preference_dataset"
        ),
        "scripts.utils": (
            "DatasetMixtureConfig ScriptArguments TrlParser get_dataset init_zero_verbose"
        ),
        "trainer.callbacks": "SyncRefModelCallback",
        "trainer.dpo_config": "DPOConfig",
        "trainer.dpo_trainer": "DPOTrainer",
        "trainer.grpo_config": "GRPOConfig",
        "trainer.grpo_trainer": "GRPOTrainer",
        "trainer.model_config": "ModelConfig",
        "trainer.reward_config": "RewardConfig",
        "trainer.reward_trainer": "RewardTrainer",
        "trainer.sft_config": "SFTConfig",
        "trainer.sft_trainer": "SFTTrainer",
        "trainer.utils": "get_kbit_device_map get_peft_config get_quantization_config",
    },
    TRAINER: {
        "callbacks": "SyncRefModelCallback",
        "dpo_config": "DPOConfig",
        "dpo_trainer": "DPOTrainer",
        "grpo_config": "GRPOConfig",
        "grpo_trainer": "GRPOTrainer",
        "model_config": "ModelConfig",
        "reward_config": "RewardConfig",
        "reward_trainer": "RewardTrainer",
        "sft_config": "SFTConfig",
        "sft_trainer": "SFTTrainer",
        "utils": "disable_dropout_in_model get_peft_config get_quantization_config",
    },
    f"{PACKAGE}.scripts": {
        "utils": "DatasetMixtureConfig ScriptArguments TrlParser get_dataset init_zero_verbose",
    },
    f"{PACKAGE}.models": {},
    f"{PACKAGE}.rewards": {
        "accuracy_rewards": "accuracy_reward get_cosine_scaled_reward reasoning_accuracy_reward",
        "format_rewards": "think_format_reward",
        "other_rewards": "get_repetition_penalty_reward get_soft_overlong_punishment",
    },
}
# Public names of trl 1.16 (and of trl 1.0 where scripts still use them) that have no home above.
_TRAINERS = (
    "BEMACallback DistillationConfig DistillationTrainer KTOConfig KTOTrainer "
    "LogCompletionsCallback RLOOConfig RLOOTrainer RichProgressCallback WeaveCallback"
)
_UPSTREAM: dict[str, str] = {
    PACKAGE: (
        f"{_TRAINERS} add_response_schema create_reference_model prepare_multimodal_messages "
        "supports_tool_calling"
    ),
    TRAINER: f"{_TRAINERS} add_fused_lm_head ensure_master_addr_port",
    f"{PACKAGE}.rewards": "",
    f"{PACKAGE}.scripts": "",
    f"{PACKAGE}.models": (
        "create_reference_model enable_selective_activation_checkpointing "
        "get_act_offloading_ctx_manager prepare_deepspeed prepare_fsdp unwrap_model_for_generation"
    ),
}


def _homes(package: str) -> dict[str, str]:
    found = {}
    for module, names in _OURS[package].items():
        found |= dict.fromkeys(names.split(), f"{package}.{module}")
    return found


def names(package: str) -> set[str]:
    """Return every name that ``package`` gives: ours and stand-ins."""
    return {*_homes(package), *_UPSTREAM[package].split()}


def resolve(name: str, package: str) -> Any:
    """Return what ``name`` of ``package`` stands for.

    Raises: AttributeError naming the nearest name if upstream has no such name either.
    """
    import_transformers()
    homes = _homes(package)
    if name in homes:
        return getattr(importlib.import_module(homes[name]), name)
    if name not in _UPSTREAM[package].split():
        close = nearest(name, names(package))
        raise AttributeError(f"module {package!r} has no attribute {name!r}{close}")
    shown = package.removeprefix("hfpaddle.")
    message = f"{shown}.{name} has no implementation in hfpaddle{nearest(name, homes)}."
    return stand_in(name, package, message)
