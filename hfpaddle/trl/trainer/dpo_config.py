"""Mirror of ``trl.trainer.dpo_config``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.trl.trainer import base_config
from hfpaddle.trl.trainer.base_config import _BaseConfig, option


@dataclass
class DPOConfig(_BaseConfig):
    """Arguments of `DPOTrainer`: those of TrainingArguments, and which loss on which data.

    Defaults differ from TrainingArguments': ``learning_rate`` 1e-6, ``logging_steps`` 10,
    ``gradient_checkpointing`` True, ``bf16`` True.

    Raises: ValueError for as many ``loss_weights`` as there are not losses.
    """

    _VALID_DICT_FIELDS = [*_BaseConfig._VALID_DICT_FIELDS, "model_init_kwargs"]

    learning_rate: float = option(1e-6, "Learning rate at the start.")

    # Model
    model_init_kwargs: dict[str, Any] | str | None = option(None, base_config.MODEL_INIT_KWARGS)
    trust_remote_code: bool = option(False, base_config.TRUST_REMOTE_CODE)
    router_aux_loss_coef: float | None = option(
        None, "Weight of the load-balancing loss of mixtures of experts; None: the config's."
    )
    disable_dropout: bool = option(True, "Turn dropout off, in the reference model too.")

    # Data
    dataset_num_proc: int | None = option(None, "Processes that prepare the data.")
    max_length: int | None = option(1024, base_config.MAX_LENGTH)
    truncation_mode: str = option(
        "keep_start", "Which end of a long sequence stays.", choices=["keep_end", "keep_start"]
    )
    padding_free: bool = option(False, "Not available, as in trl: batches are padded.")
    pad_to_multiple_of: int | str | None = option("auto", base_config.PAD_TO_MULTIPLE_OF)
    precompute_ref_log_probs: bool = option(
        False, "Compute the reference's log-probabilities before training, and keep no reference."
    )
    precompute_ref_batch_size: int | None = option(None, "Batch size of that; None: the usual.")

    # Training
    loss_type: list[str] = option(
        lambda: ["sigmoid"],
        "Losses to add up: sigmoid, hinge, ipo, exo_pair, nca_pair, robust, bco_pair, sppo_hard, "
        "aot, aot_unpaired, apo_zero, apo_down, discopop, sft, sigmoid_norm.",
    )
    loss_weights: list[float] | None = option(None, "Weight of each; None: 1.")
    ld_alpha: float | None = option(
        None, "Weight of the tokens beyond the shorter answer's length (LD-DPO), 0 to 1."
    )
    f_divergence_type: str = option(
        "reverse_kl",
        "Distance to the reference: reverse_kl, forward_kl, js_divergence, alpha_divergence.",
    )
    f_alpha_divergence_coef: float = option(0.5, "Exponent of alpha_divergence.")
    label_smoothing: float = option(0.0, "Share of wrong labels (robust), or epsilon (exo_pair).")
    beta: float = option(0.1, "How near the reference the model stays; tau of ipo.")
    use_weighting: bool = option(False, "Weight pairs by the model's probabilities (WPO).")
    discopop_tau: float = option(0.05, "Temperature of discopop.")
    activation_offloading: bool = option(False, "Accepted without effect.")
    sync_ref_model: bool = option(False, "Move the reference towards the model (TR-DPO).")
    ref_model_mixup_alpha: float = option(0.6, "How far, of the way to the model.")
    ref_model_sync_steps: int = option(512, "Every so many updates.")

    pad_token: str | None = option(None, "Deprecated: set it on the tokenizer.")

    def __post_init__(self) -> None:
        if isinstance(self.loss_type, str):
            self.loss_type = [self.loss_type]
        if self.loss_weights is not None and len(self.loss_weights) != len(self.loss_type):
            raise ValueError(
                "`loss_weights` must have the same length as `loss_type` when combining multiple "
                f"losses. Got {len(self.loss_weights)} weights for {len(self.loss_type)} losses."
            )
        super().__post_init__()
        self._read_multiple()
        self._deprecate_shared()
