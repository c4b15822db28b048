"""Configs of the rarer methods, made out of one table: peft's fields, defaults and checks.

A line of the table is a method, its class, the nearest method that every reader knows, and what it
does; the lines below it are fields. A field without a value is None. Methods that have a package
beside this file take their config from here; the others can be read, written and checked, and are
refused when a model is built.

Source: the config classes of peft 0.21.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import enum
import warnings
from collections.abc import Callable
from typing import Any

from hfpaddle.layers.activations import ACTIVATIONS
from hfpaddle.peft.config import PeftConfig, PromptLearningConfig, helped
from hfpaddle.peft.tuners.prompt_tuning.config import PromptTuningConfig
from hfpaddle.peft.utils.peft_types import PeftType, TaskType

_TABLE = """
ADAMSS AdamssConfig LORA: trains small clusters of singular directions of the base weights.
    r=100 num_subspaces=5 subspace_rank=1 target_modules init_weights='orthogonal' modules_to_save
    layers_to_transform layers_pattern use_asa=False asa_target_subspaces=50 init_warmup=50
    final_warmup=1000 mask_interval=100 asa_importance_beta=0.85 asa_uncertainty_beta=0.85
    asa_schedule_exponent=3.0 use_dynamic_rank=False svd_threshold=0.1 random_seed=0
ADAPTION_PROMPT AdaptionPromptConfig PREFIX_TUNING: gated prompts inside the upper attentions.
    target_modules adapter_len adapter_layers
BEFT BeftConfig LN_TUNING: trains a bias of the targeted modules.
    target_modules modules_to_save init_weights=True
CARTRIDGE CartridgeConfig PREFIX_TUNING: keys and values in the cache, the first tokens frozen.
    num_frozen_tokens=1
CPT CPTConfig PROMPT_TUNING: trains the embeddings of given tokens within a bound.
    cpt_token_ids cpt_mask cpt_tokens_type_mask opt_weighted_loss_type='none'
    opt_loss_decay_factor=1.0 opt_projection_epsilon=0.1 opt_projection_format_epsilon=0.1
    tokenizer_name_or_path
DEFT DeftConfig LORA: takes a projection of the weights out and puts a low-rank part in.
    r=8 target_modules exclude_modules decomposition_method='relu' init_scale=1.0 alpha para=False
    fan_in_fan_out=False deft_dropout=0.0 init_weights=True layers_to_transform layers_pattern
    bias='none' modules_to_save
DELORA DeloraConfig LORA: low rank with bounded strength, normalised in every component.
    r=8 delora_lambda=15 module_dropout=0.0 target_modules exclude_modules bias='none'
    init_weights=True layers_to_transform layers_pattern rank_pattern={} lambda_pattern={}
    modules_to_save
FROD FrodConfig VERA: sparse coefficients between projections shared by the layers of a kind.
    target_modules projection_prng_key=0 save_projection=True frod_dropout=0.0 fan_in_fan_out=False
    bias='none' modules_to_save init_weights=True layers_to_transform layers_pattern
    sparse_rate=0.01 regularization_alpha=0.001 progressbar=True runtime_offload_base_weight=False
GLORA GloraConfig LORA: scales and shifts of weights, biases and inputs.
    r=8 target_modules bias='none' modules_to_save config_A_B='lora' config_C='lora'
    config_D_E='constant' init_weights=True
GRALORA GraloraConfig LORA: low rank in each block of the weight.
    r=32 hybrid_r=0 target_modules alpha=64 gralora_dropout=0.0 gralora_k=2 fan_in_fan_out=False
    bias='none' modules_to_save init_weights=True layers_to_transform layers_pattern
HIRA HiraConfig LORA: the base weight times a low-rank matrix, element by element.
    r=32 target_modules exclude_modules hira_dropout=0.0 fan_in_fan_out=False modules_to_save
    init_weights=True layers_to_transform layers_pattern rank_pattern={}
LILY LilyConfig LORA: down projections shared by layers, up projections mixed by a router.
    r=32 stride_A=1 num_B=2 scaling=1.0 target_modules exclude_modules modules_to_save
    layers_to_transform layers_pattern init_weights=True
MISS MissConfig LORA: one small matrix, repeated over the weight.
    r=64 miss_dropout=0.0 mini_r=1 target_modules exclude_modules init_weights=True
    layers_to_transform layers_pattern bias='none' modules_to_save
SHIRA ShiraConfig LORA: trains a sparse choice of the weight's elements.
    r=32 mask_type='random' random_seed target_modules fan_in_fan_out=False init_weights=True
    modules_to_save
MULTITASK_PROMPT_TUNING MultitaskPromptTuningConfig PROMPT_TUNING: a prompt times one of each task.
    prompt_tuning_init='RANDOM' prompt_tuning_init_state_dict_path prompt_tuning_init_task=0
    num_ranks=1 num_tasks=1
OSF OSFConfig LORA: trains the small singular directions of a weight, keeps the large ones.
    effective_rank target_modules rank_pattern init_weights=True modules_to_save target_svd_config
PEANUT PeanutConfig LORA: a small network of the base weight gives what is added.
    r=32 depth=0 act_fn='relu' scaling=1.0 target_modules exclude_modules modules_to_save
    layers_to_transform layers_pattern init_weights=True
POLY PolyConfig LORA: adapters mixed by what tasks have in common.
    r=8 target_modules exclude_modules modules_to_save init_weights=True poly_type='poly' n_tasks=1
    n_skills=4 n_splits=1
PSOFT PsoftConfig OFT: rotates the weight's largest singular directions.
    r=32 target_modules exclude_modules psoft_alpha=32 psoft_dropout=0.0 fan_in_fan_out=False
    ab_svd_init='psoft_init' psoft_svd='full' psoft_svd_lowrank_niter=10 random_seed=0
    psoft_orth=True psoft_mag_b=True psoft_mag_a=True use_cayley_neumann=False
    num_cayley_neumann_terms=5 cayley_neumann_eps modules_to_save init_weights=True
    layers_to_transform layers_pattern
PVERA PveraConfig VERA: VeRA whose inner vector is drawn from a learned distribution.
    r=256 target_modules projection_prng_key=0 save_projection=True pvera_dropout=0.0 d_initial=0.1
    fan_in_fan_out=False bias='none' modules_to_save init_weights=True layers_to_transform
    layers_pattern sample_at_inference=False generator_seed
RANDLORA RandLoraConfig VERA: sums of shared random factors, scaled per layer.
    r=32 target_modules projection_prng_key=0 save_projection=True sparse=False very_sparse=False
    randlora_dropout=0.0 fan_in_fan_out=False randlora_alpha=640 bias='none' modules_to_save
    init_weights=True layers_to_transform layers_pattern
ROAD RoadConfig OFT: turns pairs of the output.
    variant='road_1' group_size=64 init_weights=True target_modules modules_to_save
SHADOW ShadowConfig LORA: a small second network runs beside the model.
    target_modules exclude_modules r=8 shadow_alpha=0.1 shadow_dropout=0.2 init_weights=True
    shadow_model='mirror' shadow_num_hidden_layers shadow_hidden_size shadow_num_attention_heads
    shadow_intermediate_size share_embeddings=True update_hidden_size auxiliary_loss_weight=0.05
    layers_to_transform layers_pattern modules_to_save
SUPERTUNING SupertuningConfig LORA: trains the largest, or smallest, elements of the weights.
    target_modules modules_to_save sparsity=0.99 select_top=True r lora_alpha lora_dropout=0.0
    init_weights=True save_precomputed_indices=True
TINYLORA TinyLoraConfig VERA: few numbers, spread by fixed projections over singular directions.
    r=2 u=64 weight_tying=0.0 projection_seed=42 save_projection=True init_v_bound=0.02
    target_modules tinylora_dropout=0.0 fan_in_fan_out=False bias='none' modules_to_save
    init_weights=True layers_to_transform layers_pattern
TRAINABLE_TOKENS TrainableTokensConfig LORA: trains chosen rows of an embedding.
    token_indices=[] target_modules init_weights=True
UNILORA UniLoraConfig VERA: one vector, spread over all factors by fixed numbers.
    r=4 proj_seed=42 theta_d_length=256 target_modules unilora_dropout=0.0 fan_in_fan_out=False
    bias='none' modules_to_save init_theta_d_bound=0.02 init_weights=True save_indices=False
    layers_to_transform layers_pattern
VBLORA VBLoRAConfig LORA: factors are mixtures of vectors that all layers share.
    r=4 num_vectors=256 vector_length=256 topk=2 target_modules exclude_modules
    save_only_topk_weights=False vblora_dropout=0.0 fan_in_fan_out=False bias='none'
    modules_to_save init_vector_bank_bound=0.02 init_logits_std=0.1 layers_to_transform
    layers_pattern
WAVEFT WaveFTConfig FOURIERFT: trains chosen wavelet coefficients of what is added.
    n_frequency=2592 scaling=25.0 wavelet_family='db1' use_idwt=True random_loc_seed=777
    fan_in_fan_out=False target_modules exclude_modules bias='none' modules_to_save
    layers_to_transform layers_pattern n_frequency_pattern={} proportional_parameters=False
    init_weights=True
XLORA XLoraConfig LORA: mixes trained LoRA adapters per token.
    hidden_size adapters enable_softmax=True enable_softmax_topk=False layerwise_scalings=False
    xlora_depth=1 xlora_size=2048 xlora_dropout_p=0.2 use_trainable_adapters=False
    softmax_temperature=1.0 top_k_lora scaling_pass_value=0.0 global_scaling_weight=1.0
"""


class MultitaskPromptTuningInit(str, enum.Enum):
    """What the prompt of several tasks begins as."""

    TEXT = "TEXT"
    RANDOM = "RANDOM"
    AVERAGE_SOURCE_TASKS = "AVERAGE_SOURCE_TASKS"
    EXACT_SOURCE_TASK = "EXACT_SOURCE_TASK"
    ONLY_SOURCE_SHARED = "ONLY_SOURCE_SHARED"


_BASES: dict[str, type] = {
    "CARTRIDGE": PromptLearningConfig,
    "CPT": PromptLearningConfig,
    "MULTITASK_PROMPT_TUNING": PromptTuningConfig,
}
# Methods whose lists of names stay lists.
_LISTS = {"ADAPTION_PROMPT", "OSF", "TRAINABLE_TOKENS", "XLORA"}
# Where a choice of layers beside a regular expression, or a pattern without layers, is refused.
_NO_REGEX = set("DEFT DELORA HIRA MISS PSOFT SHADOW UNILORA WAVEFT".split())
_NO_LONE_PATTERN = set(
    "DEFT DELORA FROD LILY PEANUT PSOFT PVERA SHADOW TINYLORA VBLORA WAVEFT".split()
)
WAVELETS = (
    *(f"db{n}" for n in range(1, 39)),
    *(f"sym{n}" for n in range(2, 21)),
    *(f"coif{n}" for n in range(1, 18)),
)


# A condition on a config, and the message where it holds.
Rule = tuple[Callable[[Any], Any], str]


def _one_of(field: str, *choices: str) -> Rule:
    return (
        lambda c: getattr(c, field) not in choices,
        f"Invalid {field}: {{c.{field}!r}}. Valid values are: {', '.join(sorted(choices))}.",
    )


def _positive(field: str) -> Rule:
    text = f"`{field}` should be a positive integer value but the value passed is {{c.{field}}}"
    return lambda c: getattr(c, field) <= 0, text


def _share(field: str) -> Rule:
    text = f"`{field}` should be between 0.0 and 1.0, got {{c.{field}}}."
    return lambda c: not 0 <= getattr(c, field) <= 1, text


# What is refused.
_ERRORS: dict[str, list[Rule]] = {
    "ADAMSS": [
        (
            lambda c: c.init_weights not in ("orthogonal", None, False),
            "init_weights must be 'orthogonal' or None, got {c.init_weights}",
        ),
        (
            lambda c: c.use_asa and c.mask_interval <= 0,
            "`mask_interval` must be positive with use_asa.",
        ),
        (
            lambda c: c.use_asa and c.init_warmup >= c.final_warmup,
            "`init_warmup` must be smaller than `final_warmup` when `use_asa=True`, got "
            "{c.init_warmup} and {c.final_warmup}.",
        ),
        (
            lambda c: c.use_asa and c.asa_target_subspaces <= 0,
            "`asa_target_subspaces` must be positive when `use_asa=True`.",
        ),
        (
            lambda c: c.use_asa and c.asa_schedule_exponent <= 0,
            "`asa_schedule_exponent` must be positive when `use_asa=True`.",
        ),
    ],
    "CARTRIDGE": [
        (
            lambda c: c.num_frozen_tokens < 0,
            "`num_frozen_tokens` must be >= 0, got {c.num_frozen_tokens}.",
        ),
        (
            lambda c: (
                c.num_virtual_tokens is not None and c.num_frozen_tokens > c.num_virtual_tokens
            ),
            "`num_frozen_tokens` must be <= `num_virtual_tokens`, got "
            "num_frozen_tokens={c.num_frozen_tokens} and "
            "num_virtual_tokens={c.num_virtual_tokens}.",
        ),
    ],
    "DEFT": [_one_of("decomposition_method", "qr", "relu")],
    "DELORA": [_positive("r")],
    "FROD": [_share("sparse_rate")],
    "GLORA": [
        _one_of("config_A_B", "lora", "vector", "constant", "none"),
        _one_of("config_C", "lora", "vector", "none"),
        _one_of("config_D_E", "vector", "constant", "none"),
    ],
    "GRALORA": [
        _positive("gralora_k"),
        (
            lambda c: c.r % c.gralora_k,
            "r should be divisible by gralora_k, but got {c.r} and {c.gralora_k}",
        ),
    ],
    "LILY": [
        (lambda c: c.stride_A < 1, "`stride_A` must be at least 1."),
        (lambda c: c.num_B < 2, "`num_B` must be at least 2 for the router to be trained."),
    ],
    "PEANUT": [
        (lambda c: c.r <= 0, "`r` must be a positive integer."),
        (lambda c: c.depth < 0, "`depth` can only be a non-negative integer."),
        (lambda c: c.act_fn not in ACTIVATIONS, "Unsupported `act_fn`: {c.act_fn}."),
    ],
    "PSOFT": [
        _positive("r"),
        _one_of("ab_svd_init", "psoft_init", "pissa_init"),
        _one_of("psoft_svd", "full", "lowrank"),
        (
            lambda c: c.use_cayley_neumann and c.num_cayley_neumann_terms <= 0,
            "`num_cayley_neumann_terms` must be a positive integer; got "
            "{c.num_cayley_neumann_terms}.",
        ),
        (
            lambda c: (
                c.use_cayley_neumann
                and c.cayley_neumann_eps is not None
                and not 0.0 < c.cayley_neumann_eps < 1.0
            ),
            "`cayley_neumann_eps` must be in (0, 1) when set; got {c.cayley_neumann_eps}.",
        ),
    ],
    "ROAD": [
        (
            lambda c: c.variant not in ("road_1", "road_2", "road_4"),
            "Invalid variant {c.variant} specified. Please choose from road_1, road_2 or road_4",
        ),
        (
            lambda c: c.group_size <= 0 or c.group_size % 2 != 0,
            "The group_size must be divisible by 2 when using RoadLayer, but got {c.group_size}.",
        ),
    ],
    "SHADOW": [
        (
            lambda c: (
                c.shadow_model != "mirror"
                and any(
                    v is not None
                    for v in (
                        c.shadow_num_hidden_layers,
                        c.shadow_hidden_size,
                        c.shadow_num_attention_heads,
                        c.shadow_intermediate_size,
                    )
                )
            ),
            "A checkpoint as `shadow_model` has an architecture of its own: unset "
            "shadow_num_hidden_layers, shadow_hidden_size, shadow_num_attention_heads and "
            "shadow_intermediate_size.",
        ),
    ],
    "SUPERTUNING": [
        (lambda c: not 0.0 <= c.sparsity < 1.0, "sparsity must be in [0.0, 1.0), got {c.sparsity}"),
        (
            lambda c: c.r is not None and (not isinstance(c.r, int) or c.r <= 0),
            "r must be a positive integer or None, got {c.r!r}",
        ),
        (lambda c: c.r is None and c.lora_alpha is not None, "lora_alpha is set but r is None."),
        (
            lambda c: not 0.0 <= c.lora_dropout < 1.0,
            "lora_dropout must be in [0.0, 1.0), got {c.lora_dropout}",
        ),
    ],
    "TINYLORA": [_positive("r"), _positive("u"), _share("weight_tying")],
    "UNILORA": [
        _positive("r"),
        _positive("theta_d_length"),
        _share("unilora_dropout"),
        (lambda c: c.init_theta_d_bound <= 0, "`init_theta_d_bound` should be a positive float."),
        _one_of("bias", "none", "all", "unilora_only"),
    ],
    "WAVEFT": [
        (
            lambda c: c.wavelet_family not in WAVELETS,
            "Wavelet family {c.wavelet_family} not supported. Supported wavelet families are: "
            "db1 to db38, sym2 to sym20, coif1 to coif17",
        ),
    ],
}
_PROJECTIONS: Rule = (
    lambda c: not c.save_projection,
    "save_projection=False: the projections are not in the file and are drawn again from the seed. "
    "Set it to True to be sure of the same on any system.",
)
# What is only warned of.
_WARNINGS: dict[str, list[Rule]] = {
    "PVERA": [_PROJECTIONS],
    "RANDLORA": [_PROJECTIONS],
    "TINYLORA": [_PROJECTIONS],
    "PSOFT": [
        (
            lambda c: c.psoft_svd != "lowrank" and c.psoft_svd_lowrank_niter != 10,
            "`psoft_svd_lowrank_niter` is only used when `psoft_svd='lowrank'`.",
        ),
        (
            lambda c: not c.use_cayley_neumann and c.num_cayley_neumann_terms != 5,
            "`num_cayley_neumann_terms` is only used when `use_cayley_neumann=True`.",
        ),
        (
            lambda c: not c.use_cayley_neumann and c.cayley_neumann_eps is not None,
            "`cayley_neumann_eps` is only used when `use_cayley_neumann=True`.",
        ),
    ],
    "SHIRA": [
        (
            lambda c: c.mask_type != "random" and not c.inference_mode,
            "Argument mask_type={c.mask_type!r} is not recognized, please supply your own masking "
            "function by calling `config.mask_fn = my_mask_fn`.",
        ),
    ],
    "SUPERTUNING": [
        (
            lambda c: not c.save_precomputed_indices,
            "save_precomputed_indices=False: indices are computed again from the base weights when "
            "an adapter is loaded, which must then be those of the training.",
        ),
    ],
    "XLORA": [
        (
            lambda c: c.hidden_size is None,
            "No value was provided for `hidden_size`. This will be set to 4096 by default, please "
            "ensure that this is correct.",
        ),
        (
            lambda c: c.adapters is None,
            "No value was provided for `adapters`. This will be set to empty, please ensure that "
            "this is correct.",
        ),
        (
            lambda c: c.enable_softmax_topk and c.top_k_lora is None,
            "`enable_softmax_topk` enabled `top_k_lora` is not set",
        ),
        (
            lambda c: c.enable_softmax_topk and c.enable_softmax,
            "`enable_softmax_topk` and `enable_softmax` are both enabled. This will result in "
            "worse performance.",
        ),
        (
            lambda c: c.top_k_lora is not None and c.top_k_lora < 1,
            "`top_k_lora` value must be at least 1.",
        ),
    ],
}


def _settle_cpt(config: Any) -> None:
    for name in ("num_layers", "token_dim", "num_attention_heads"):
        setattr(config, name, None)
    config.num_transformer_submodules = 1
    if config.task_type != TaskType.CAUSAL_LM:
        raise ValueError(f"CPTConfig only supports task_type = {TaskType.CAUSAL_LM.value}.")
    config.cpt_token_ids = [0] if config.cpt_token_ids is None else config.cpt_token_ids
    config.num_virtual_tokens = len(config.cpt_token_ids)
    for name in ("cpt_mask", "cpt_tokens_type_mask"):
        if getattr(config, name) is None:
            setattr(config, name, [1] * config.num_virtual_tokens)
        if len(getattr(config, name)) != config.num_virtual_tokens:
            raise ValueError(
                "cpt_token_ids, cpt_mask and cpt_tokens_type_mask must have the same length."
            )


def _settle_multitask(config: Any) -> None:
    config.prompt_tuning_init = MultitaskPromptTuningInit(config.prompt_tuning_init)


def _settle_xlora(config: Any) -> None:
    config.hidden_size = 4096 if config.hidden_size is None else config.hidden_size
    config.adapters = {} if config.adapters is None else config.adapters


def _settle_adamss(config: Any) -> None:
    config.init_weights = config.init_weights or None


def _settle_supertuning(config: Any) -> None:
    if config.r is not None and config.lora_alpha is None:
        config.lora_alpha = 2 * config.r


# Fields that follow from others.
_SETTLE = {
    "ADAMSS": _settle_adamss,
    "CPT": _settle_cpt,
    "MULTITASK_PROMPT_TUNING": _settle_multitask,
    "SUPERTUNING": _settle_supertuning,
    "XLORA": _settle_xlora,
}


def _check(config: Any, kind: str) -> None:
    """Warn of and refuse what the table says. Raises: ValueError with the field and its value."""
    if kind in _NO_REGEX and isinstance(config.target_modules, str):
        for name in ("layers_to_transform", "layers_pattern"):
            if getattr(config, name) is not None:
                raise ValueError(f"`{name}` cannot be used when `target_modules` is a str.")
    if kind in _NO_LONE_PATTERN and config.layers_pattern and config.layers_to_transform is None:
        raise ValueError(
            "When `layers_pattern` is specified, `layers_to_transform` must also be specified. "
        )
    for condition, message in _ERRORS.get(kind, ()):
        if condition(config):
            raise ValueError(message.format(c=config))
    for condition, message in _WARNINGS.get(kind, ()):
        if condition(config):
            warnings.warn(message.format(c=config), stacklevel=5)


def _field(word: str) -> tuple[str, Any, Any]:
    """``name=value`` of the table as dataclasses take it."""
    name, given, text = word.partition("=")
    default = ast.literal_eval(text) if given else None
    if isinstance(default, (dict, list)):
        return name, Any, dataclasses.field(default_factory=lambda: copy.copy(default))
    return name, Any, helped(f"Default: {default!r}.", default)


def _make(kind: str, name: str, purpose: str, words: list[str]) -> type:
    base = _BASES.get(kind, PeftConfig)

    def __post_init__(self: Any) -> None:
        base.__post_init__(self)  # type: ignore[attr-defined]
        self.peft_type = PeftType(kind)
        if kind not in _LISTS:
            for field in ("target_modules", "exclude_modules"):
                if isinstance(getattr(self, field, None), list):
                    setattr(self, field, set(getattr(self, field)))
        _check(self, kind)
        if kind in _SETTLE:
            _SETTLE[kind](self)

    members = {
        "__doc__": f"Config of {kind.lower()}: {purpose}",
        "__module__": __name__,
        "__post_init__": __post_init__,
    }
    if kind == "ADAPTION_PROMPT":
        members["is_adaption_prompt"] = property(lambda self: True)
    return dataclasses.make_dataclass(
        name, [_field(word) for word in words], bases=(base,), namespace=members
    )


def _read_table() -> tuple[dict[str, type], dict[str, str]]:
    """Config class and nearest method of each method."""
    made: dict[str, type] = {}
    near: dict[str, str] = {}
    entries = "".join(("\0" if line[:1].strip() else " ") + line for line in _TABLE.splitlines())
    for entry in entries.split("\0")[1:]:
        head, _, fields = entry.partition(".     ")
        names, _, purpose = head.partition(": ")
        kind, name, near[kind] = names.split()
        made[kind] = _make(kind, name, f"{purpose}.", fields.split())
    return made, near


CONFIGS, NEAREST = _read_table()
globals().update({cls.__name__: cls for cls in CONFIGS.values()})
