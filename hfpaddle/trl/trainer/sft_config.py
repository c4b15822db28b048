"""Mirror of ``trl.trainer.sft_config``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.trl.trainer import base_config
from hfpaddle.trl.trainer.base_config import _BaseConfig, option


@dataclass
class SFTConfig(_BaseConfig):
    """Arguments of `SFTTrainer`: those of TrainingArguments, and what to make of the data.

    Defaults differ from TrainingArguments': ``learning_rate`` 2e-5, ``logging_steps`` 10,
    ``gradient_checkpointing`` True, ``bf16`` True.
    """

    _VALID_DICT_FIELDS = [*_BaseConfig._VALID_DICT_FIELDS, "model_init_kwargs", "dataset_kwargs"]

    learning_rate: float = option(2e-5, "Learning rate at the start.")

    # Model
    model_init_kwargs: dict[str, Any] | str | None = option(None, base_config.MODEL_INIT_KWARGS)
    trust_remote_code: bool = option(False, base_config.TRUST_REMOTE_CODE)
    router_aux_loss_coef: float | None = option(
        None, "Weight of the load-balancing loss of mixtures of experts; None: the config's."
    )
    chat_template_path: str | None = option(
        None, "Chat template: a Jinja file, or the folder or name of a tokenizer that has one."
    )

    # Data
    dataset_text_field: str = option("text", "Column that holds the text.")
    dataset_kwargs: dict[str, Any] | str | None = option(
        None, "{'skip_prepare_dataset': True} hands the data to the collator as they are."
    )
    dataset_num_proc: int | None = option(None, "Processes that prepare the data.")
    eos_token: str | None = option(None, "Token that ends a text or turn; None: the tokenizer's.")
    max_length: int | None = option(1024, base_config.MAX_LENGTH + " With packing: row length.")
    truncation_mode: str = option(
        "keep_start", "Which end of a long sequence stays.", choices=["keep_end", "keep_start"]
    )
    shuffle_dataset: bool = option(False, "Shuffle the data when they are prepared.")
    packing: bool = option(False, "Join samples into rows of max_length.")
    packing_strategy: str = option(
        "bfd",
        "'bfd': whole samples, cut to max_length; 'bfd_split': long samples in pieces; 'wrapped': "
        "one stream cut everywhere.",
        choices=["bfd", "bfd_split", "wrapped"],
    )
    padding_free: bool = option(
        False, "Join the samples of a batch into one row; they do not see one another."
    )
    pad_to_multiple_of: int | str | None = option("auto", base_config.PAD_TO_MULTIPLE_OF)
    eval_packing: bool | None = option(None, "Pack the evaluation data; None: as packing.")

    # Training
    completion_only_loss: bool | None = option(
        None, "Score the completion alone; None: where the data have prompt and completion."
    )
    assistant_only_loss: bool = option(
        False, "Score the assistant's turns alone; the chat template must mark them."
    )
    loss_type: str = option(
        "nll",
        "'nll': negative log-likelihood; 'dft': dynamic fine-tuning (arXiv:2508.05629).",
        choices=["nll", "dft", "chunked_nll"],
    )
    activation_offloading: bool = option(False, "Accepted without effect.")

    pad_token: str | None = option(None, "Deprecated: set it on the tokenizer.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read_multiple()
        self._deprecate_shared()
        if self.loss_type == "chunked_nll":
            self._deprecate("loss_type='chunked_nll'", "'nll' computes the same.")
            self.loss_type = "nll"
        if self.packing_strategy == "bfd-requeue":
            self._deprecate("packing_strategy='bfd-requeue'", "it is called 'bfd_split' now.")
            self.packing_strategy = "bfd_split"
