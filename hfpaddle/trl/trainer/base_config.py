"""Mirror of ``trl.trainer.base_config``: what the configs of all trainers share."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import MISSING, dataclass
from typing import Any

from hfpaddle.core.logging import warn_once
from hfpaddle.transformers.training_args import TrainingArguments


def option(default: Any, text: str, **metadata: Any) -> Any:
    """Return a dataclass field with ``text`` as its help; a function makes a new default."""
    plain, factory = (MISSING, default) if callable(default) else (default, MISSING)
    metadata["help"] = text
    return dataclasses.field(default=plain, default_factory=factory, metadata=metadata)


MODEL_INIT_KWARGS = "Keywords for the model's from_pretrained, where the model is given by name."
TRUST_REMOTE_CODE = "Accepted; code of the Hub is never run, as hfpaddle has its own models."
MAX_LENGTH = "Longest sequence in tokens; None for no limit."
PAD_TO_MULTIPLE_OF = "Pad batches to a multiple of this; 'auto' does not."


@dataclass
class _BaseConfig(TrainingArguments):
    """TrainingArguments with the defaults of trl.

    ``bf16`` is on unless ``fp16`` is; a device without half precision computes in float32.
    """

    logging_steps: float = option(10, "Log every so many updates, or this share of all of them.")
    gradient_checkpointing: bool = option(
        True, "Recompute activations in the backward pass: less memory, about 20%% slower."
    )
    bf16: bool | None = option(None, "Compute in bfloat16; on unless fp16 is.")
    lr_scheduler_kwargs: dict | str | None = option(None, "Further arguments of the schedule.")

    def __post_init__(self) -> None:
        self.bf16 = not self.fp16 if self.bf16 is None else self.bf16
        super().__post_init__()
        if getattr(self, "activation_offloading", False):
            warn_once(
                f"{type(self).__name__}: activation_offloading has no effect: activations stay on "
                "their device. gradient_checkpointing=True keeps fewer of them."
            )

    def _read_multiple(self) -> None:
        """Make ``pad_to_multiple_of`` an int or None; the command line gives strings."""
        value: Any = self.pad_to_multiple_of  # type: ignore[attr-defined]
        if isinstance(value, str):
            value = None if value.lower() in ("auto", "none", "null") else int(value)
        self.pad_to_multiple_of = value

    def _deprecate(self, name: str, why: str) -> None:
        message = f"`{name}` is deprecated and will be removed in trl 2.0.0: {why}"
        warnings.warn(message, FutureWarning, stacklevel=4)

    def _deprecate_shared(self) -> None:
        if self.pad_token is not None:  # type: ignore[attr-defined]
            self._deprecate("pad_token", "set `tokenizer.pad_token`, and pass the tokenizer.")
        if getattr(self, "truncation_mode", None) == "keep_end":
            self._deprecate("truncation_mode='keep_end'", "use 'keep_start'.")
