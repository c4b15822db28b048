"""How a name of transformers is found here: ours, transformers' own where it needs no torch, or an
error that says what is nearest.

A name that upstream has and this package lacks becomes a stand-in, so that scripts which import
many names and use few still start; using it raises.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import transformers

from hfpaddle.core.errors import nearest
from hfpaddle.core.stand_in import stand_in as make_stand_in
from hfpaddle.modeling import registry
from hfpaddle.transformers.upstream_names import names_in, value_of

PACKAGE = "hfpaddle.transformers"
_MODELING = "hfpaddle.modeling"

COLLATORS = (
    "DataCollator DataCollatorMixin DataCollatorForLanguageModeling "
    "DataCollatorForMultipleChoice DataCollatorForPermutationLanguageModeling "
    "DataCollatorForSeq2Seq DataCollatorForTokenClassification DataCollatorForWholeWordMask "
    "DataCollatorWithFlattening DataCollatorWithPadding DefaultDataCollator default_data_collator"
).split()

SCHEDULES = (
    "Adafactor GreedyLR get_adafactor_schedule get_constant_schedule "
    "get_constant_schedule_with_warmup get_cosine_schedule_with_warmup "
    "get_cosine_with_hard_restarts_schedule_with_warmup "
    "get_cosine_with_min_lr_schedule_with_warmup "
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate get_greedy_schedule "
    "get_inverse_sqrt_schedule get_linear_schedule_with_warmup "
    "get_polynomial_decay_schedule_with_warmup get_reduce_on_plateau_schedule get_scheduler "
    "get_wsd_schedule"
).split()

AVAILABILITY = (
    "is_torch_available is_torch_distributed_available is_torchvision_available "
    "is_torchvision_v2_available is_accelerate_available is_peft_available "
    "is_torch_accelerator_available is_torch_cuda_available"
).split()

# Where our own names live; models are found through the registry and need no entry.
OURS: dict[str, str] = {
    **dict.fromkeys(registry.AUTO_TABLES, f"{_MODELING}.auto"),
    **dict.fromkeys(
        (table.removesuffix("_NAMES") for table in registry.AUTO_TABLES.values()),
        f"{_MODELING}.auto_mapping",
    ),
    "AutoConfig": f"{PACKAGE}.models.auto.configuration_auto",
    "AutoTokenizer": f"{PACKAGE}.tokenization",
    "BatchEncoding": f"{PACKAGE}.tokenization",
    "AutoFeatureExtractor": f"{PACKAGE}.image_processing",
    "AutoImageProcessor": f"{PACKAGE}.image_processing",
    "AutoProcessor": f"{PACKAGE}.image_processing",
    "BatchFeature": f"{PACKAGE}.image_processing",
    "PreTrainedModel": f"{_MODELING}.base",
    "Conv1D": "hfpaddle.layers",
    "WeightOnlyConfig": f"{_MODELING}.quantization",
    "TorchAoConfig": f"{_MODELING}.quantization",
    **dict.fromkeys(("set_seed", "enable_full_determinism"), f"{PACKAGE}.trainer_utils"),
    **dict.fromkeys(AVAILABILITY, f"{PACKAGE}.availability"),
    **dict.fromkeys(SCHEDULES, f"{PACKAGE}.optimization"),
    "Trainer": f"{PACKAGE}.trainer",
    "Seq2SeqTrainer": f"{PACKAGE}.trainer_seq2seq",
    "ProgressCallback": f"{PACKAGE}.trainer_progress",
    "TrainingArguments": f"{PACKAGE}.training_args",
    "Seq2SeqTrainingArguments": f"{PACKAGE}.training_args_seq2seq",
    **dict.fromkeys(COLLATORS, f"{PACKAGE}.data.data_collator"),
    "pipeline": f"{PACKAGE}.pipelines",
    "ImageClassificationPipeline": f"{PACKAGE}.pipelines",
    "Pipeline": f"{PACKAGE}.pipelines",
    "TextGenerationPipeline": f"{PACKAGE}.pipelines",
    "TextClassificationPipeline": f"{PACKAGE}.pipelines",
    "TokenClassificationPipeline": f"{PACKAGE}.pipelines",
    "NerPipeline": f"{PACKAGE}.pipelines",
    "FillMaskPipeline": f"{PACKAGE}.pipelines",
    "QuestionAnsweringPipeline": f"{PACKAGE}.pipelines",
    "FeatureExtractionPipeline": f"{PACKAGE}.pipelines",
    "ZeroShotClassificationPipeline": f"{PACKAGE}.pipelines",
}
# Packages of ours whose public names are all mirrored under the same name.
OUR_MODULES = (f"{_MODELING}.outputs", "hfpaddle.layers.cache", "hfpaddle.generation")

# Modules of transformers that work without torch; names from elsewhere are never passed through.
_TORCH_FREE = re.compile(
    r"models\.[a-z0-9_]+\.(configuration|tokenization|processing|feature_extraction)_[a-z0-9_]+"
    r"|models\.[a-z0-9_]+\.image_processing_(pil_)?[a-z0-9_]+"
    r"|models\.auto\.(configuration|feature_extraction|image_processing|processing)_auto"
    r"|configuration_utils|feature_extraction(_sequence)?_utils|hf_argparser|image_utils"
    r"|image_processing_(base|utils)|processing_utils|tokenization_\w+|trainer_callback"
    r"|audio_utils|debug_utils|dependency_versions_(check|table)|dynamic_module_utils|file_utils"
    r"|hyperparameter_search|image_transforms|testing_utils|video_utils"
    r"|trainer_utils|training_args(_seq2seq)?|utils"
    r"|utils\.(chat_template_utils|constants|deprecation|doc|generic|hub|import_utils|logging|versions)"
    r"|convert_slow_tokenizer|generation\.(configuration_utils|streamers)"
)
_TORCH_FREE_NAMES = frozenset(
    """GenerationConfig WatermarkingConfig SynthIDTextWatermarkingConfig CompileConfig TextStreamer
    TextIteratorStreamer AsyncTextIteratorStreamer MODEL_FOR_CAUSAL_LM_MAPPING_NAMES CONFIG_MAPPING
    is_vision_available logging __version__ GgufConfig QuantoConfig""".split()
)


def _upstream_module(name: str) -> str | None:
    """Return the transformers module that defines ``name``, or None if it has no such name."""
    return getattr(transformers, "_class_to_module", {}).get(name)


def passes_through(name: str) -> bool:
    """Tell whether transformers' own ``name`` is used as it is."""
    module = _upstream_module(name)
    if name in _TORCH_FREE_NAMES:
        return True
    return module is not None and _TORCH_FREE.fullmatch(module) is not None


def _is_tokenizer_alias(name: str) -> bool:
    """Tell whether ``name`` is an older spelling of a tokenizer (BertTokenizerFast)."""
    listed = name.endswith("TokenizerFast") and _upstream_module(name) is None
    return listed and isinstance(getattr(transformers, name, None), type)


def _processor(name: str) -> type | None:
    """Return the image processor, feature extractor or processor ``name``, or None."""
    if not re.search(r"(Processor|ImageProcessor(Pil|Fast)|FeatureExtractor)$", name):
        return None
    from hfpaddle.transformers.image_processing import find_processor

    return find_processor(name)


def stand_in(name: str, where: str) -> type:
    """Return a class called ``name`` that raises MissingFeatureError when it is used."""
    known = [*OURS, *(n for m in OUR_MODULES for n in _public(m))]
    message = (
        f"transformers.{name} has no Paddle implementation in hfpaddle{nearest(name, known)}. "
        "See docs/differences.md for what exists."
    )
    return make_stand_in(name, where, message)


def _public(module: str) -> list[str]:
    loaded = importlib.import_module(module)
    return [n for n in getattr(loaded, "__all__", vars(loaded)) if not n.startswith("_")]


def resolve(name: str, where: str = PACKAGE) -> Any:
    """Return what ``name`` stands for in the mirrored package.

    Raises: AttributeError naming the nearest name if upstream has no such name either.
    """
    if name in OURS:
        return getattr(importlib.import_module(OURS[name]), name)
    for module in OUR_MODULES:
        if name in _public(module):
            return getattr(importlib.import_module(module), name)
    found = registry.find_class(name) or _processor(name)
    if found is not None:
        return found
    if passes_through(name) or _is_tokenizer_alias(name):
        value = getattr(transformers, name)
        if isinstance(value, type) and issubclass(value, transformers.PreTrainedTokenizerBase):
            from hfpaddle.transformers.tokenization import paddle_tokenizer

            return paddle_tokenizer(value)
        return value
    if _upstream_module(name) is None:
        known = getattr(transformers, "_class_to_module", {})
        raise AttributeError(f"module {where!r} has no attribute {name!r}{nearest(name, known)}")
    return stand_in(name, where)


def resolve_in(path: str, name: str) -> Any:
    """Return what ``name`` stands for in the mirror of ``transformers.<path>``.

    Raises: AttributeError if upstream has no such name there.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        return resolve(name, f"{PACKAGE}.{path}")
    except AttributeError as error:
        if _TORCH_FREE.fullmatch(path) is not None:
            return getattr(importlib.import_module(f"transformers.{path}"), name)
        if name not in names_in(path):
            raise error
        return value_of(path, name)
