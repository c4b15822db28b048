"""Mirror of ``transformers.training_args_seq2seq``."""

from __future__ import annotations

import dataclasses

from transformers import training_args_seq2seq as upstream

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.training_args import TrainingArguments


@dataclasses.dataclass(repr=False)
class Seq2SeqTrainingArguments(TrainingArguments, upstream.Seq2SeqTrainingArguments):
    """TrainingArguments with upstream's fields for generating while evaluating."""

    def __post_init__(self) -> None:
        if self.sortish_sampler:
            raise UnsupportedArgumentError(
                "Seq2SeqTrainingArguments(sortish_sampler=True): upstream accepts it and ignores "
                "it. Use train_sampling_strategy='group_by_length'."
            )
        super().__post_init__()
