"""Mirror of ``trl.trainer.reward_config``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.trl.trainer import base_config
from hfpaddle.trl.trainer.base_config import _BaseConfig, option


@dataclass
class RewardConfig(_BaseConfig):
    """Arguments of `RewardTrainer`: those of TrainingArguments, and what to make of the data.

    Defaults differ from TrainingArguments': ``learning_rate`` 1e-4, ``logging_steps`` 10,
    ``gradient_checkpointing`` True, ``bf16`` True.
    """

    _VALID_DICT_FIELDS = [*_BaseConfig._VALID_DICT_FIELDS, "model_init_kwargs"]

    learning_rate: float = option(1e-4, "Learning rate at the start.")

    # Model
    model_init_kwargs: dict[str, Any] | str | None = option(None, base_config.MODEL_INIT_KWARGS)
    trust_remote_code: bool = option(False, base_config.TRUST_REMOTE_CODE)
    chat_template_path: str | None = option(
        None, "Chat template: a Jinja file, or the folder or name of a tokenizer that has one."
    )
    disable_dropout: bool = option(True, "Turn dropout off.")

    # Data
    dataset_num_proc: int | None = option(None, "Processes that prepare the data.")
    eos_token: str | None = option(None, "Token that ends a text or turn; None: the tokenizer's.")
    max_length: int | None = option(
        1024, "Pairs with an answer of more tokens are left out; None for no limit."
    )
    pad_to_multiple_of: int | str | None = option("auto", base_config.PAD_TO_MULTIPLE_OF)

    # Training
    center_rewards_coefficient: float | None = option(
        None, "Weight of the squared sum of both rewards, which centres them (arXiv:2312.09244)."
    )
    activation_offloading: bool = option(False, "Accepted without effect.")

    pad_token: str | None = option(None, "Deprecated: set it on the tokenizer.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read_multiple()
        self._deprecate_shared()
