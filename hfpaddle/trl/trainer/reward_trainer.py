"""Mirror of ``trl.trainer.reward_trainer``: models that score answers.

Shape letters: P pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paddle
import paddle.nn.functional as F

from hfpaddle.transformers.data.data_collator import DataCollatorMixin
from hfpaddle.trl import data_utils as data
from hfpaddle.trl.trainer.base_trainer import _BaseTrainer
from hfpaddle.trl.trainer.dpo_data import end_answers, map_arguments
from hfpaddle.trl.trainer.reward_config import RewardConfig
from hfpaddle.trl.trainer.sft_data import template_arguments
from hfpaddle.trl.trainer.utils import disable_dropout_in_model, get_config_model_id, pad

__all__ = ["DataCollatorForPreference", "RewardTrainer"]

_KEYS = ("chosen_ids", "rejected_ids")


@dataclass
class DataCollatorForPreference(DataCollatorMixin):
    """Make a batch of all ``chosen_ids``, then all ``rejected_ids``; ``margin`` is handed on."""

    pad_token_id: int
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        rows = [example[key] for key in _KEYS for example in examples]
        multiple = {"pad_to_multiple_of": self.pad_to_multiple_of}
        batch = {
            "input_ids": pad(rows, self.pad_token_id, **multiple),
            "attention_mask": pad([[1] * len(row) for row in rows], 0, **multiple),
        }
        if "margin" in examples[0]:
            margins = [example["margin"] for example in examples]
            batch["margin"] = paddle.to_tensor(margins, dtype="float32")
        return batch


class RewardTrainer(_BaseTrainer):
    """Train a classifier of one label to score chosen answers above rejected ones.

    Args:
        model: a model with ``num_labels=1``, with an adapter or without, or the name of a
            checkpoint, which may be a language model's.
        args: RewardConfig.
        data_collator: makes a batch of ``chosen_ids`` and ``rejected_ids``.
        train_dataset: ``datasets.Dataset`` or ``IterableDataset``; needed.
        eval_dataset: the same, or a dict of several.
        processing_class: tokenizer; by default the model's.
        compute_metrics, callbacks, optimizers, optimizer_cls_and_kwargs,
        preprocess_logits_for_metrics: as for Trainer.
        peft_config: describes the adapter that is put into the model.

    Each log entry has ``accuracy``, ``margin``, ``min_reward``, ``mean_reward``, ``max_reward`` and
    ``num_tokens``.
    """

    loss_is_scaled_for_ga = False
    _tag_names = ["trl", "reward-trainer"]
    _name = "Reward"
    _auto_class = "AutoModelForSequenceClassification"
    _model_kwargs = {"num_labels": 1}

    def __init__(
        self,
        model: Any,
        args: RewardConfig | None = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        compute_metrics: Callable | None = None,
        callbacks: list | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_cls_and_kwargs: tuple[Any, dict] | None = None,
        preprocess_logits_for_metrics: Callable | None = None,
        quantization_config: Any = None,
        peft_config: Any = None,
    ) -> None:
        if args is None:
            name = model if isinstance(model, str) else get_config_model_id(model.config)
            args = RewardConfig(f"{name.split('/')[-1]}-Reward")
        self._check_data(train_dataset)
        model, revision = self._make_model(model, args, quantization_config)
        labels = getattr(model.config, "num_labels", None)
        if labels != 1:
            raise ValueError(
                f"The model has `num_labels={labels}`, but reward models require `num_labels=1` to "
                "output a single scalar reward per sequence. Please instantiate your model with "
                "`num_labels=1` or pass a model name as a string."
            )
        tokenizer = self._make_tokenizer(processing_class, model, revision, args)
        if args.eos_token is not None:
            self._set_eos(args.eos_token, tokenizer, model)
        path = args.chat_template_path
        model, tokenizer, added = self._set_chat_template(path, tokenizer, model)
        model = self._add_adapter(model, peft_config, args, added)
        if args.disable_dropout:
            disable_dropout_in_model(model)
        self._set_pad(args.pad_token, tokenizer, model)
        if data_collator is None:
            data_collator = DataCollatorForPreference(
                tokenizer.pad_token_id, args.pad_to_multiple_of
            )
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=prepare(train_dataset, tokenizer, args, "train"),
            eval_dataset=_prepared_eval(eval_dataset, tokenizer, args),
            processing_class=tokenizer,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
            optimizer_cls_and_kwargs=optimizer_cls_and_kwargs,
            preprocess_logits_for_metrics=preprocess_logits_for_metrics,
        )
        self.can_return_loss, self.label_names = True, []

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """As Trainer's; a dataset given here is prepared like the own ones."""
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            eval_dataset = _prepared_eval(eval_dataset, self.processing_class, self.args)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            self._signature_columns = [*_KEYS, "margin"]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a batch of pairs, and note its metrics."""
        given = {key: value for key, value in inputs.items() if key != "margin"}
        outputs = model(**given, use_cache=False)
        chosen_P, rejected_P = paddle.chunk(outputs.logits.squeeze(-1), 2)
        gap_P = chosen_P - rejected_P
        wanted_P = gap_P - inputs["margin"] if "margin" in inputs else gap_P
        loss = -F.log_sigmoid(wanted_P).mean()
        weight = self.args.center_rewards_coefficient
        if weight is not None:
            loss = loss + weight * ((chosen_P + rejected_P) ** 2).mean()
        self._count_tokens(int(inputs["attention_mask"].sum()))
        rewards = outputs.logits.detach()
        self._note(
            min_reward=rewards.min(),
            mean_reward=rewards.mean(),
            max_reward=rewards.max(),
            accuracy=(gap_P.detach() > 0).astype("float32").mean(),
            margin=gap_P.detach().mean(),
        )
        return (loss, outputs) if return_outputs else loss


def _prepared_eval(dataset: Any, tokenizer: Any, args: RewardConfig) -> Any:
    if isinstance(dataset, dict):
        return {name: prepare(part, tokenizer, args, name) for name, part in dataset.items()}
    return None if dataset is None else prepare(dataset, tokenizer, args, "eval")


def prepare(dataset: Any, tokenizer: Any, args: RewardConfig, name: str) -> Any:
    """Return ``dataset`` with ``chosen_ids`` and ``rejected_ids``, the prompt in front of both.

    Pairs with more than ``max_length`` tokens are left out. A dataset that has these columns is
    taken as tokenized.
    """
    if not set(_KEYS) <= set(data.get_dataset_column_names(dataset)):
        if not data.is_conversational(next(iter(dataset))):
            dataset = dataset.map(
                end_answers,
                fn_kwargs={"eos_token": tokenizer.eos_token},
                **map_arguments(dataset, args, f"Adding EOS to {name} dataset"),
            )
        dataset = dataset.map(
            _tokenize_pair,
            fn_kwargs={"tokenizer": tokenizer},
            **map_arguments(dataset, args, f"Tokenizing {name} dataset"),
        )
    if args.max_length is not None:
        further = map_arguments(dataset, args, f"Filtering {name} >{args.max_length} tokens")
        dataset = dataset.filter(_fits, fn_kwargs={"room": args.max_length}, **further)
    return dataset


def _tokenize_pair(example: dict, tokenizer: Any) -> dict:
    chat = template_arguments(example) if data.is_conversational(example) else {}
    for key in ("chosen", "rejected"):
        if "prompt" in example:
            example[key] = example["prompt"] + example[key]
        example[f"{key}_ids"] = data._tokenize(tokenizer, example[key], **chat)["input_ids"]
    return example


def _fits(example: dict, room: int) -> bool:
    return all(len(example[key]) <= room for key in _KEYS)
