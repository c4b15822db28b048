"""Mirror of ``trl.trainer.grpo_config``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.trl.trainer import base_config
from hfpaddle.trl.trainer.base_config import _BaseConfig, option

VLLM = "Accepted for scripts that set use_vllm; without effect."
OF_THE_SIGN = "for answers of {} advantage; see `GRPOTrainer.get_gamma_weights`."


@dataclass
class GRPOConfig(_BaseConfig):
    """Arguments of `GRPOTrainer`: TrainingArguments', how to generate, and which loss.

    ``per_device_train_batch_size`` counts completions, not prompts. Defaults differ from
    TrainingArguments': ``learning_rate`` 1e-6, ``logging_steps`` 10, ``gradient_checkpointing``
    True, ``bf16`` True, ``remove_unused_columns`` False.

    Raises: ValueError for batches that do not hold whole groups of ``num_generations``;
    UnsupportedArgumentError for vLLM and continuous batching.
    """

    _VALID_DICT_FIELDS = [
        *_BaseConfig._VALID_DICT_FIELDS,
        *("model_init_kwargs", "transformers_continuous_batching_config"),
        *("generation_kwargs", "chat_template_kwargs"),
    ]

    learning_rate: float = option(1e-6, "Learning rate at the start.")

    # Model
    model_init_kwargs: dict[str, Any] | str | None = option(None, base_config.MODEL_INIT_KWARGS)
    trust_remote_code: bool = option(False, base_config.TRUST_REMOTE_CODE)
    router_aux_loss_coef: float | None = option(
        None, "Weight of the load-balancing loss of mixtures of experts; None: the config's."
    )
    disable_dropout: bool = option(False, "Turn dropout off, in the reference model too.")
    cast_lm_head_to_fp32: bool = option(False, "Compute logits in float32; for float32 models.")

    # Data
    remove_unused_columns: bool | None = option(
        False, "Leave out columns other than 'prompt'; reward functions cannot see them then."
    )
    num_generations: int | None = option(8, "Completions of each prompt, compared to one another.")
    num_generations_eval: int | None = option(None, "The same in evaluation; None: the same.")
    max_completion_length: int | None = option(512, "Longest completion in tokens.")
    ds3_gather_for_generation: bool = option(True, "For DeepSpeed; no effect.")
    shuffle_dataset: bool | None = option(True, "Shuffle the prompts.")
    pad_to_multiple_of: int | str | None = option("auto", base_config.PAD_TO_MULTIPLE_OF)

    # Generation
    generation_batch_size: int | None = option(
        None, "Completions generated at a time; None: steps_per_generation batches."
    )
    steps_per_generation: int | None = option(
        None, "Batches generated at a time; None: gradient_accumulation_steps."
    )
    temperature: float = option(1.0, "Temperature of sampling, and of the loss.")
    top_p: float = option(1.0, "Draw among the likeliest tokens of this total probability.")
    top_k: int = option(0, "Draw among so many likeliest tokens; 0 for all.")
    min_p: float | None = option(None, "Least probability, as a share of the likeliest token's.")
    generation_kwargs: dict | str | None = option(None, "Further fields of GenerationConfig.")
    chat_template_kwargs: dict | str | None = option(
        None, "Further arguments of apply_chat_template."
    )
    repetition_penalty: float = option(1.0, "Above 1 tokens that are there already get rarer.")
    cache_implementation: str | None = option(None, "Kind of cache, as for generate.")

    # vLLM
    use_vllm: bool = option(False, "Not available: completions come from model.generate.")
    vllm_mode: str = option("colocate", VLLM)
    vllm_model_impl: str = option("vllm", VLLM)
    vllm_enable_sleep_mode: bool = option(False, VLLM)
    vllm_structured_outputs_regex: str | None = option(None, VLLM)
    vllm_server_base_url: str | None = option(None, VLLM)
    vllm_server_host: str = option("0.0.0.0", VLLM)  # noqa: S104
    vllm_server_port: int = option(8000, VLLM)
    vllm_server_timeout: float = option(240.0, VLLM)
    vllm_group_port: int = option(51216, VLLM)
    vllm_gpu_memory_utilization: float = option(0.3, VLLM)
    vllm_max_model_length: int | None = option(None, VLLM)
    vllm_tensor_parallel_size: int = option(1, VLLM)

    # Training
    beta: float = option(0.0, "Weight of the divergence from the reference; 0: no reference.")
    num_iterations: int = option(1, "Passes over each generated batch.")
    epsilon: float = option(0.2, "How far the ratio of probabilities may move.")
    delta: float | None = option(None, "Upper bound of the ratio where the advantage is negative.")
    epsilon_high: float | None = option(
        None, "How far upwards; None: epsilon. With 'cispo' the bound of the weight itself."
    )
    sapo_temperature_neg: float = option(1.05, "Of 'sapo', for advantages up to 0.")
    sapo_temperature_pos: float = option(1.0, "Of 'sapo', for advantages above 0.")
    vespo_k_pos: float = option(2.0, "Exponent of 'vespo' " + OF_THE_SIGN.format("positive"))
    vespo_lambda_pos: float = option(3.0, "Decay of 'vespo' " + OF_THE_SIGN.format("positive"))
    vespo_k_neg: float = option(3.0, "Exponent of 'vespo' " + OF_THE_SIGN.format("negative"))
    vespo_lambda_neg: float = option(2.0, "Decay of 'vespo' " + OF_THE_SIGN.format("negative"))
    importance_sampling_level: str = option(
        "token", "A ratio for each 'token', or for the whole 'sequence' (GSPO)."
    )
    reward_weights: list[float] | None = option(None, "Weight of each reward; None: 1.")
    multi_objective_aggregation: str = option(
        "sum_then_normalize",
        "'sum_then_normalize', or 'normalize_then_sum': each reward in its group first (GDPO).",
    )
    scale_rewards: str = option(
        "group", "Divide by the deviation in the 'group' or in the 'batch', or 'none'."
    )
    loss_type: str = option("dapo", "Loss: grpo, dr_grpo, dapo, bnpo, cispo, sapo, luspo or vespo.")
    mask_truncated_completions: bool = option(
        False, "Leave completions without an end out of the loss."
    )
    sync_ref_model: bool = option(False, "Move the reference towards the model (TR-DPO).")
    ref_model_mixup_alpha: float = option(0.6, "How far, of the way to the model.")
    ref_model_sync_steps: int = option(512, "Every so many updates.")
    top_entropy_quantile: float = option(
        1.0, "Share of tokens, those of the highest entropy, that the policy learns from."
    )
    entropy_coef: float = option(0.0, "Weight of an entropy bonus.")
    use_adaptive_entropy: bool = option(False, "Adapt that weight to entropy_target.")
    entropy_coef_min: float = option(0.0, "Smallest adapted weight.")
    entropy_coef_max: float = option(1.0, "Largest adapted weight.")
    entropy_coef_delta: float = option(0.005, "How far the weight moves at each update.")
    entropy_target: float = option(0.2, "Entropy a token, in nats, below which the bonus counts.")
    max_tool_calling_iterations: int | None = option(None, "For tools, which are not available.")
    vllm_importance_sampling_correction: bool = option(True, VLLM)
    vllm_importance_sampling_mode: str = option("sequence_mask", VLLM)
    vllm_importance_sampling_clip_max: float | None = option(3.0, VLLM)
    vllm_importance_sampling_clip_min: float | None = option(None, VLLM)
    off_policy_mask_threshold: float | None = option(
        None, "Leave out answers of negative advantage that moved further than this."
    )
    use_bias_correction_kl: bool = option(
        True, "Multiply the divergence by the ratio of probabilities, for an unbiased gradient."
    )

    # Logs
    log_completions: bool = option(
        False, "Print completions where rich is installed, and write them as parquet files."
    )
    log_multimodal: bool = option(True, "For images, which are not available.")
    num_completions_to_print: int | None = option(None, "Print so many; None: all.")
    log_unique_prompts: bool = option(False, "For tables of trackers, which get none.")
    log_completions_hub_repo: str | None = option(None, "Not available.")

    # Generation without padding
    use_transformers_continuous_batching: bool = option(False, "Not available.")
    transformers_continuous_batching_config: dict | str | None = option(None, "Not available.")

    # Old names
    use_transformers_paged: bool = option(False, "Deprecated.")
    vllm_importance_sampling_cap: float | None = option(None, "Deprecated.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read_multiple()
        named = {True: "group", False: "none"}
        if isinstance(self.scale_rewards, bool):
            self.scale_rewards = named[self.scale_rewards]
        self._refuse()
        self._plan_generation()
        self._check_groups()

    def _refuse(self) -> None:
        """Raise for what is not implemented."""
        if self.use_vllm:
            raise UnsupportedArgumentError(
                "GRPOConfig(use_vllm=True): vLLM runs torch models. Leave it False: completions "
                "come from model.generate."
            )
        if self.use_transformers_paged:
            self._deprecate("use_transformers_paged", "use `use_transformers_continuous_batching`.")
        if self.use_transformers_paged or self.use_transformers_continuous_batching:
            raise UnsupportedArgumentError(
                "GRPOConfig(use_transformers_continuous_batching=True) is not implemented. Leave "
                "it False: model.generate pads the prompts of a batch."
            )
        if self.log_completions_hub_repo is not None:
            raise UnsupportedArgumentError(
                f"GRPOConfig(log_completions_hub_repo={self.log_completions_hub_repo!r}): uploads "
                "are not implemented. Set log_completions=True and upload the folder "
                "'completions' of output_dir."
            )
        if self.auto_find_batch_size:
            raise ValueError(
                "auto_find_batch_size is not supported by GRPO, because the generation batch must "
                "contain full prompt groups of num_generations completions. Set "
                "auto_find_batch_size=False and lower per_device_train_batch_size instead."
            )
        if self.log_unique_prompts:
            warn_once("GRPOConfig: log_unique_prompts has no effect: trackers get no tables.")

    def _plan_generation(self) -> None:
        """Set the one of batch size and steps that is not given."""
        size = self.per_device_train_batch_size * self.world_size
        if self.generation_batch_size is None:
            if self.steps_per_generation is None:
                self.steps_per_generation = self.gradient_accumulation_steps
            self.generation_batch_size = size * self.steps_per_generation
        elif self.steps_per_generation is not None:
            raise ValueError(
                "'generation_batch_size' and 'steps_per_generation' can not be both configured at "
                "the same time"
            )
        elif self.generation_batch_size % size:
            raise ValueError(
                f"generation_batch_size ({self.generation_batch_size}) must be divisible by the "
                f"global batch size ({size})."
            )
        else:
            self.steps_per_generation = self.generation_batch_size // size

    def _check_groups(self) -> None:
        """Raise ValueError unless batches hold whole groups of completions."""
        count, total = self.num_generations or 0, self.generation_batch_size or 0
        if count < 2:
            raise ValueError(
                "GRPO requires at least 2 generations per prompt to calculate the advantages. You "
                f"provided {self.num_generations}, which is less than the minimum required."
            )
        if self.do_eval and self.eval_strategy != "no":
            wanted, size = self.num_generations_eval or count, self.per_device_eval_batch_size
            if size * self.world_size % wanted:
                raise ValueError(
                    f"The global eval batch size ({size} * {self.world_size}) must be divisible by "
                    f"the number of generations used for evaluation ({wanted})."
                )
        if total % count:
            raise ValueError(
                f"generation_batch_size ({total}) must be divisible by num_generations ({count})."
            )
