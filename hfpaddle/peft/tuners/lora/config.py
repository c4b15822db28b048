"""Config of LoRA.

Sources: arXiv:2106.09685 (LoRA), arXiv:2312.03732 (rank-stabilised), arXiv:2402.09353 (DoRA).
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass, field
from typing import Any

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class LoraRuntimeConfig:
    """Settings of one run, which are not saved."""

    ephemeral_gpu_offload: bool = False


@dataclass
class LoftQConfig:
    """Quantisation of the base weights that LoftQ starts from."""

    loftq_bits: int = 4
    loftq_iter: int = 1


@dataclass
class EvaConfig:
    """Initialisation from the variance of activations (arXiv:2410.07170)."""

    rho: float = 2.0
    tau: float = 0.99
    use_label_mask: bool = True
    label_mask_value: int = -100
    whiten: bool = False
    adjust_scaling_factors: bool = True

    def __post_init__(self) -> None:
        if self.rho < 1.0:
            raise ValueError("`rho` must be >= 1.0")
        if not 0.0 <= self.tau <= 1.0:
            raise ValueError("`tau` must be between 0.0 and 1.0.")


@dataclass
class CordaConfig:
    """Initialisation oriented by the context (arXiv:2406.05223)."""

    cache_file: str | None = None
    covariance_file: str | None = None
    corda_method: str = "ipm"
    verbose: bool = False
    use_float16_for_covariance: bool = False
    prune_temporary_fields: bool = True


@dataclass
class LoraGAConfig:
    """Initialisation from the first gradient (arXiv:2407.05000)."""

    direction: str = "ArB2r"
    scale: str = "stable"
    stable_gamma: int = 16


@dataclass
class ArrowConfig:
    """Routing between adapters for each token (arXiv:2405.11157)."""

    top_k: int = 3
    router_temperature: float = 1.0
    use_gks: bool = False
    task_adapter_names: list[str] | None = field(default=None, init=False)
    gks_adapter_names: list[str] | None = field(default=None, init=False)
    rng_seed: int | None = None

    def __post_init__(self) -> None:
        if self.top_k <= 0:
            raise ValueError("top_k cannot be negative.")
        if self.router_temperature <= 0:
            raise ValueError("router_temperature must be greater than 0.")


@dataclass
class BdLoraConfig:
    """Factors of diagonal blocks."""

    target_modules_bd_a: list[str] | None = None
    target_modules_bd_b: list[str] | None = None
    nblocks: int = 1
    match_strict: bool = True

    def __post_init__(self) -> None:
        both = set(self.target_modules_bd_a or []) & set(self.target_modules_bd_b or [])
        if both:
            raise ValueError(f"Found overlapping modules in target_modules_bd lists: {both}.")


@dataclass
class KasaConfig:
    """Singular-value adaptation (arXiv:2412.06071)."""

    beta: float = 1e-4
    gamma: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("beta", "gamma"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be non-negative, got {getattr(self, name)}.")


@dataclass
class VeloraConfig:
    """Compressed activations in the backward pass (arXiv:2405.17991)."""

    num_groups: int = 64
    scale: float = 1.0
    init_type: str = "batch_average"

    def __post_init__(self) -> None:
        for name in ("num_groups", "scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` should be positive, got {getattr(self, name)}.")
        if self.init_type not in ("batch_average_once", "batch_average", "random"):
            raise ValueError(f"Unsupported `init_type` {self.init_type!r}.")


@dataclass
class MontecloraConfig:
    """Sampled weights over the adapter."""

    num_samples: int = 8
    use_entropy: bool = False
    dirichlet_prior: float = 0.1
    sample_scaler: float = 1e-4
    kl_loss_weight: float = 1e-5
    buffer_size: int = 150

    def __post_init__(self) -> None:
        for name in ("num_samples", "dirichlet_prior", "buffer_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be greater than 0.")


_NESTED = {
    "velora_config": VeloraConfig,
    "kasa_config": KasaConfig,
    "eva_config": EvaConfig,
    "corda_config": CordaConfig,
    "lora_ga_config": LoraGAConfig,
    "arrow_config": ArrowConfig,
    "use_bdlora": BdLoraConfig,
    "monteclora_config": MontecloraConfig,
}
# Settings that change numbers and have no implementation here, with what comes nearest.
_UNSUPPORTED = {
    "velora_config": "gradient_checkpointing_enable() saves memory of activations, too",
    "kasa_config": "use_dora=True or init_lora_weights='pissa'",
    "arrow_config": "adapter_names of a call, or add_weighted_adapter",
    "use_bdlora": "plain LoRA",
    "monteclora_config": "lora_dropout",
    "alora_invocation_tokens": "`with model.disable_adapter()` for what comes before the tokens",
    "use_qalora": "LoRA over a model that is loaded with a quantization_config",
    "megatron_config": "the layers of the model as they are",
    "target_parameters": "target_modules",
}


def _nested(value: Any, cls: Any) -> Any:
    """A nested config from what a file holds of it."""
    if value is None or isinstance(value, cls):
        return value
    if not isinstance(value, dict):
        raise TypeError(f"`{cls.__name__}` must be a `{cls.__name__}`, a dict, or None.")
    known = {f.name for f in dataclasses.fields(cls) if f.init}
    return cls(**{key: item for key, item in value.items() if key in known})


@dataclass
class LoraConfig(PeftConfig):
    """How LoRA is applied: ``W + scaling * B @ A`` with ``A`` ``[r, in]`` and ``B`` ``[out, r]``.

    Args:
        r, lora_alpha: rank, and numerator of the scaling ``alpha / r``; ``rank_pattern`` and
            ``alpha_pattern`` give other values for modules whose names fit a regular expression.
        use_rslora: the scaling is ``alpha / sqrt(r)``.
        target_modules: names (a name's last parts suffice), one regular expression for whole names,
            "all-linear", or None for the family's default; ``exclude_modules`` takes some back.
        layers_to_transform, layers_pattern: numbers of the layers to adapt, and the name of the
            list that numbers them.
        lora_dropout: of the adapter's input while training.
        fan_in_fan_out: the weight is ``[in, out]``.
        bias: "none", "all" or "lora_only": which biases are trained and saved.
        lora_bias: ``B`` has a bias.
        modules_to_save: modules that are trained in full and saved with the adapter.
        init_lora_weights: True (the adapter changes nothing at first), False, "gaussian", "pissa",
            "pissa_niter_<n>", "olora" or "orthogonal".
        use_dora: a magnitude for each output beside the direction.

    The others are read and written; what they would change raises when a model is built.
    """

    r: int = helped("Rank.", 8)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    lora_alpha: int = helped("Numerator of the scaling.", 8)
    lora_dropout: float = helped("Dropout of the adapter's input.", 0.0)
    fan_in_fan_out: bool = helped("Whether weights are [in, out].", False)
    bias: str = helped("'none', 'all' or 'lora_only'.", "none")
    use_rslora: bool = helped("Scaling alpha / sqrt(r).", False)
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")
    init_lora_weights: Any = helped("Initialisation.", True)
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")
    rank_pattern: dict | None = field(default_factory=dict)
    alpha_pattern: dict | None = field(default_factory=dict)
    megatron_config: dict | None = helped("Of Megatron.")
    megatron_core: str | None = helped("Of Megatron.", "megatron.core")
    trainable_token_indices: Any = helped("Rows of the embedding to train.")
    loftq_config: Any = field(default_factory=dict)
    eva_config: Any = helped("For init_lora_weights='eva'.")
    corda_config: Any = helped("For init_lora_weights='corda'.")
    lora_ga_config: Any = helped("For init_lora_weights='lora_ga'.")
    use_dora: bool = helped("DoRA.", False)
    velora_config: Any = helped("VeLoRA.")
    alora_invocation_tokens: list[int] | None = helped("Activated LoRA.")
    use_qalora: bool = helped("QALoRA.", False)
    qalora_group_size: int = helped("Of QALoRA.", 16)
    monteclora_config: Any = helped("MonteCLoRA.")
    layer_replication: Any = helped("Ranges of layers to stack.")
    runtime_config: LoraRuntimeConfig = field(default_factory=LoraRuntimeConfig)
    lora_bias: bool = helped("Whether B has a bias.", False)
    target_parameters: list[str] | None = helped("Names of parameters to adapt.")
    use_bdlora: Any = helped("BD-LoRA.")
    arrow_config: Any = helped("Arrow.")
    kasa_config: Any = helped("KaSA.")
    ensure_weight_tying: bool = helped("Tie the adapters of tied layers.", False)

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        values.pop("runtime_config")
        return values

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.LORA
        for name in ("target_modules", "exclude_modules"):
            if isinstance(getattr(self, name), list):
                setattr(self, name, set(getattr(self, name)))
        for name, cls in _NESTED.items():
            setattr(self, name, _nested(getattr(self, name), cls))
        self._custom_modules: dict[type, type] | None = None
        self._check_targets()
        self._check_initialisation()

    def _check_targets(self) -> None:
        if isinstance(self.target_parameters, str):
            raise TypeError("`target_parameters` must be a list of strings or None.")
        for name in ("layers_to_transform", "layers_pattern"):
            if isinstance(self.target_modules, str) and getattr(self, name) is not None:
                raise ValueError(f"`{name}` cannot be used when `target_modules` is a str.")
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError(
                "When `layers_pattern` is specified, `layers_to_transform` must also be specified. "
            )
        if self.use_dora and self.megatron_config:
            raise ValueError("DoRA does not support megatron_core, please set `use_dora=False`.")

    def _check_initialisation(self) -> None:
        init = self.init_lora_weights
        if init == "loftq":
            if not self.loftq_config:
                raise ValueError(
                    "`loftq_config` must be specified when `init_lora_weights` is 'loftq'."
                )
            if not isinstance(self.loftq_config, dict):
                self.loftq_config = vars(self.loftq_config)
        elif self.loftq_config:
            self.loftq_config = {}
            warnings.warn(
                "`loftq_config` specified but will be ignored when `init_lora_weights` is not "
                "'loftq'.",
                stacklevel=4,
            )
        for name, cls in (("eva", EvaConfig), ("corda", CordaConfig)):
            given = getattr(self, f"{name}_config")
            if init == name and given is None:
                warnings.warn(
                    f"`init_lora_weights` is '{name}' but `{name}_config` is not specified. Using "
                    "the default config.",
                    stacklevel=4,
                )
                setattr(self, f"{name}_config", cls())
            elif init != name and given is not None:
                warnings.warn(
                    f"`{name}_config` specified but will be ignored when `init_lora_weights` is "
                    f"not '{name}'.",
                    stacklevel=4,
                )
        if self.lora_bias and init not in (True, False):
            raise ValueError(
                "The argument lora_bias=True is only supported with init_lora_weights=True or "
                f"False, got init_lora_weights={init} instead."
            )
        if self.lora_bias and self.use_dora:
            raise ValueError(
                "The argument lora_bias=True is not supported for DoRA, please pass use_dora=False"
            )

    def refuse_unsupported(self) -> None:
        """Raise UnsupportedArgumentError for a setting that would change numbers here."""
        for name, near in _UNSUPPORTED.items():
            value = getattr(self, name)
            if value:
                raise UnsupportedArgumentError(
                    f"LoraConfig: {name}={str(value)[:80]} is not implemented. Leave it out; "
                    f"nearest: {near}."
                )

    def _register_custom_module(self, mapping: dict[type, type]) -> None:
        """Give adapter layers of one's own for module classes of one's own."""
        self._custom_modules = {**(self._custom_modules or {}), **mapping}
