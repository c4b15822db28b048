"""The surface of peft on Paddle: configs, adapters, and models with adapters.

A method is one package in `hfpaddle.peft.tuners` that registers itself. A name of peft that has no
implementation here imports, and raises when it is used.
"""

from __future__ import annotations

from typing import Any

from hfpaddle.core.quiet import import_transformers as _import_transformers

_import_transformers()

from hfpaddle.peft import tuners as _tuners  # noqa: E402
from hfpaddle.peft.auto import (  # noqa: E402
    MODEL_TYPE_TO_PEFT_MODEL_MAPPING,
    AutoPeftModel,
    AutoPeftModelForCausalLM,
    AutoPeftModelForFeatureExtraction,
    AutoPeftModelForQuestionAnswering,
    AutoPeftModelForSeq2SeqLM,
    AutoPeftModelForSequenceClassification,
    AutoPeftModelForTokenClassification,
)
from hfpaddle.peft.config import PeftConfig, PromptLearningConfig, __version__  # noqa: E402
from hfpaddle.peft.mapping import (  # noqa: E402
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_MIXED_MODEL_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
    get_peft_config,
    inject_adapter_in_model,
)
from hfpaddle.peft.mapping_func import get_peft_model  # noqa: E402
from hfpaddle.peft.mixed_model import PeftMixedModel  # noqa: E402
from hfpaddle.peft.peft_model import (  # noqa: E402
    PeftModel,
    PeftModelForCausalLM,
    PeftModelForFeatureExtraction,
    PeftModelForQuestionAnswering,
    PeftModelForSeq2SeqLM,
    PeftModelForSequenceClassification,
    PeftModelForTokenClassification,
    get_layer_status,
    get_model_status,
)
from hfpaddle.peft.tuners.configs import (  # noqa: E402
    MultitaskPromptTuningInit as _MultitaskPromptTuningInit,
)
from hfpaddle.peft.utils.base_state import (  # noqa: E402
    get_base_model_state_dict,
    set_base_model_state_dict,
)
from hfpaddle.peft.utils.constants import (  # noqa: E402
    TRANSFORMERS_MODELS_TO_PREFIX_TUNING_POSTPROCESS_MAPPING,
)
from hfpaddle.peft.utils.error import NoMatchingPeftModuleError, PeftError  # noqa: E402
from hfpaddle.peft.utils.other import (  # noqa: E402
    cast_mixed_precision_params,
    prepare_model_for_kbit_training,
    shift_tokens_right,
)
from hfpaddle.peft.utils.peft_types import PeftType, TaskType  # noqa: E402
from hfpaddle.peft.utils.save_and_load import (  # noqa: E402
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from hfpaddle.peft.utils.warning import PeftWarning  # noqa: E402

_METHODS = _tuners.discover() | {"MultitaskPromptTuningInit": _MultitaskPromptTuningInit}
globals().update(_METHODS)

__all__ = [
    "AutoPeftModel", "AutoPeftModelForCausalLM", "AutoPeftModelForFeatureExtraction",
    "AutoPeftModelForQuestionAnswering", "AutoPeftModelForSeq2SeqLM",
    "AutoPeftModelForSequenceClassification", "AutoPeftModelForTokenClassification",
    "MODEL_TYPE_TO_PEFT_MODEL_MAPPING", "NoMatchingPeftModuleError",
    "PEFT_TYPE_TO_CONFIG_MAPPING", "PEFT_TYPE_TO_MIXED_MODEL_MAPPING",
    "PEFT_TYPE_TO_TUNER_MAPPING", "PeftConfig", "PeftError", "PeftMixedModel", "PeftModel",
    "PeftModelForCausalLM",
    "PeftModelForFeatureExtraction", "PeftModelForQuestionAnswering", "PeftModelForSeq2SeqLM",
    "PeftModelForSequenceClassification", "PeftModelForTokenClassification", "PeftType",
    "PeftWarning", "PromptLearningConfig",
    "TRANSFORMERS_MODELS_TO_PREFIX_TUNING_POSTPROCESS_MAPPING", "TaskType", "__version__",
    "cast_mixed_precision_params", "get_layer_status", "get_model_status", "get_peft_config",
    "get_peft_model", "get_base_model_state_dict", "get_peft_model_state_dict",
    "inject_adapter_in_model", "load_peft_weights", "prepare_model_for_kbit_training",
    "set_base_model_state_dict", "set_peft_model_state_dict", "shift_tokens_right",
    *_METHODS,
]  # fmt: skip

# Further names of peft 0.21: methods and tools without an implementation here.
_UPSTREAM = frozenset(
    """
    AdamssModel AdaptionPromptModel CPTEmbedding CartridgeEncoder DeftModel
    FrodModel GloraModel LilyModel OSFModel PeanutModel
    PolyModel PsoftModel PveraModel RandLoraModel ShadowModel
    SupertuningModel TinyLoraModel UniLoraModel WaveFTModel
    XLoraModel bloom_model_postprocess_past_key_value compose_cartridge_adapters convert_to_lora
    create_arrow_model find_kappa_target_modules get_eva_state_dict
    initialize_kv_prefix_from_past_key_values initialize_kv_prefix_from_text
    initialize_lora_eva_weights preprocess_loraga prompt_embeddings_from_past_key_values
    replace_lora_weights_loftq save_as_lora
    """.split()
)


def __getattr__(name: str) -> Any:
    from hfpaddle.core.errors import nearest
    from hfpaddle.core.stand_in import stand_in

    if name.startswith("__") or name not in _UPSTREAM:
        close = "" if name.startswith("__") else nearest(name, {*__all__, *_UPSTREAM})
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{close}")
    message = f"peft.{name} has no implementation in hfpaddle{nearest(name, __all__)}."
    return stand_in(name, __name__, message)
