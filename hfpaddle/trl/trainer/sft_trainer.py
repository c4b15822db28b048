"""Mirror of ``trl.trainer.sft_trainer``: supervised fine-tuning of language models."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import paddle
import transformers
from transformers.utils import logging

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.trl.chat_template_utils import (
    get_training_chat_template,
    has_generation_markers,
    is_chat_template_stop_token_trained,
)
from hfpaddle.trl.data_utils import get_dataset_column_names, is_conversational
from hfpaddle.trl.trainer.base_trainer import _BaseTrainer
from hfpaddle.trl.trainer.sft_config import SFTConfig
from hfpaddle.trl.trainer.sft_data import DataCollatorForLanguageModeling, Preparation
from hfpaddle.trl.trainer.utils import TokenScores, get_config_model_id

logger = logging.get_logger("trl")

__all__ = ["DataCollatorForLanguageModeling", "SFTTrainer"]


class SFTTrainer(_BaseTrainer):
    """Fine-tune a language model on texts, chats, or prompts with completions.

    Args:
        model: a model, with an adapter or without, or the name of one.
        args: SFTConfig; TrainingArguments are taken as such.
        data_collator: makes a batch of ``input_ids`` and ``labels``.
        train_dataset: ``datasets.Dataset`` or ``IterableDataset``; needed.
        eval_dataset: the same, or a dict of several.
        processing_class: tokenizer; by default the model's.
        compute_loss_func, compute_metrics, callbacks, optimizers, optimizer_cls_and_kwargs,
        preprocess_logits_for_metrics: as for Trainer.
        peft_config: describes the adapter that is put into the model.
        formatting_func: ``example -> text``, before anything else.

    Each log entry has ``entropy``, ``mean_token_accuracy`` and ``num_tokens``.
    """

    _tag_names = ["trl", "sft"]
    _name = "SFT"

    def __init__(
        self,
        model: Any,
        args: Any = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        compute_loss_func: Callable | None = None,
        compute_metrics: Callable | None = None,
        callbacks: list | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_cls_and_kwargs: tuple[Any, dict] | None = None,
        preprocess_logits_for_metrics: Callable | None = None,
        quantization_config: Any = None,
        peft_config: Any = None,
        formatting_func: Callable | None = None,
    ) -> None:
        args = self._arguments(args, model)
        self._check_data(train_dataset)
        model, revision = self._make_model(model, args, quantization_config)
        tokenizer = self._make_tokenizer(processing_class, model, revision, args)
        if args.eos_token is not None:
            self._set_eos(args.eos_token, tokenizer, model)
        path = args.chat_template_path
        model, tokenizer, added = self._set_chat_template(path, tokenizer, model)
        self._tokenizer = tokenizer
        model = self._add_adapter(model, peft_config, args, added)
        sample = next(iter(train_dataset))
        self._choose_loss(args, sample, tokenizer, compute_loss_func)
        data_collator = self._make_collator(args, data_collator, tokenizer, model)
        self._prepare = Preparation(
            tokenizer, args, self.completion_only_loss, self.chat_template, formatting_func
        )
        self._data_collator_is_own = isinstance(data_collator, DataCollatorForLanguageModeling)
        train_dataset, eval_dataset = self._prepared(args, train_dataset, eval_dataset)
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            compute_loss_func=compute_loss_func,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
            optimizer_cls_and_kwargs=optimizer_cls_and_kwargs,
            preprocess_logits_for_metrics=preprocess_logits_for_metrics,
        )
        config = model.config.get_text_config()
        self._read_router(args, config)
        if hasattr(config, "router_aux_loss_coef"):
            config.output_router_logits = self.aux_loss_enabled
            config.router_aux_loss_coef = self.router_aux_loss_coef

    @staticmethod
    def _arguments(args: Any, model: Any) -> SFTConfig:
        if args is None:
            name = model if isinstance(model, str) else get_config_model_id(model.config)
            return SFTConfig(f"{name.split('/')[-1]}-SFT")
        if isinstance(args, SFTConfig) or not isinstance(args, transformers.TrainingArguments):
            return args
        return SFTConfig(**{**args.to_dict(), "hub_token": args.hub_token})

    def _choose_loss(
        self, args: SFTConfig, sample: dict, tokenizer: Any, compute_loss_func: Any
    ) -> None:
        """Decide which tokens are scored, and how.

        Raises: ValueError for choices that contradict the data or one another.
        """
        if args.loss_type not in ("nll", "dft"):
            raise ValueError(
                f"Invalid `loss_type` {args.loss_type} passed. Supported values are 'nll' and "
                "'dft'."
            )
        if args.loss_type == "dft" and compute_loss_func is not None:
            raise ValueError("`compute_loss_func` and `loss_type='dft'` exclude each other.")
        if compute_loss_func is not None:
            message = "`compute_loss_func` is deprecated: override `compute_loss` of SFTTrainer."
            warnings.warn(message, FutureWarning, stacklevel=3)
        self.chat_template = None
        if args.assistant_only_loss:
            if not is_conversational(sample):
                raise ValueError(
                    "You set `assistant_only_loss=True`, but the dataset is not conversational. "
                    "This option is only supported for conversational datasets."
                )
            if not has_generation_markers(tokenizer.chat_template):
                self.chat_template = get_training_chat_template(tokenizer)
            if not is_chat_template_stop_token_trained(tokenizer, self.chat_template):
                logger.warning(
                    "The chat template leaves the assistant's end-of-turn token out of the loss: "
                    "the model may not learn to stop. Put it before {% endgeneration %}."
                )
        self.completion_only_loss = args.completion_only_loss
        if args.completion_only_loss is None:
            self.completion_only_loss = "prompt" in sample and "completion" in sample

    def _make_collator(self, args: SFTConfig, collator: Any, tokenizer: Any, model: Any) -> Any:
        whole = args.packing and args.packing_strategy in ("bfd", "bfd_split")
        self.padding_free = args.padding_free or whole
        if self.padding_free:
            if collator is not None:
                raise ValueError(
                    "Passing a custom data collator is not supported when using padding-free."
                )
            if args.packing and not whole:
                logger.warning("padding_free=True lets pieces of 'wrapped' rows see no neighbours.")
            if not args.packing and args.max_length is not None:
                raise ValueError(
                    "When `padding_free=True` without packing, `max_length` is not enforced. "
                    "Either enable packing (e.g., `packing=True, packing_strategy='bfd'`), provide "
                    "already truncated inputs, or set `max_length=None`."
                )
        if collator is not None:
            return collator
        self._set_pad(args.pad_token, tokenizer, model)
        return DataCollatorForLanguageModeling(
            pad_token_id=tokenizer.pad_token_id,
            padding_free=self.padding_free,
            pad_to_multiple_of=args.pad_to_multiple_of,
        )

    # Data

    def _prepared(self, args: SFTConfig, train: Any, evaluation: Any) -> tuple[Any, Any]:
        """Return both datasets as the collator takes them."""
        self._skip_prepare_dataset = bool((args.dataset_kwargs or {}).get("skip_prepare_dataset"))
        if self._skip_prepare_dataset:
            sets = evaluation if isinstance(evaluation, dict) else {"eval": evaluation}
            self._check_labels({"train": train, **sets})
            return train, evaluation
        if self.completion_only_loss and self._prepare.formatting_func:
            raise ValueError(
                "A formatting function was provided while `completion_only_loss=True`, which is "
                "incompatible: it makes texts without prompts. Apply it before passing the "
                "dataset, or disable `completion_only_loss` in `SFTConfig`."
            )
        return self._prepare(train, args.packing, "train"), self._prepared_eval(args, evaluation)

    def _prepared_eval(self, args: SFTConfig, dataset: Any) -> Any:
        packing = args.packing if args.eval_packing is None else args.eval_packing
        if isinstance(dataset, dict):
            return {k: self._prepare(part, packing, k) for k, part in dataset.items()}
        return None if dataset is None else self._prepare(dataset, packing, "eval")

    def _check_labels(self, sets: dict[str, Any]) -> None:
        """Raise ValueError for masks that nobody would make labels of."""
        for name, dataset in sets.items():
            if dataset is None or not self._data_collator_is_own:
                continue
            columns = set(get_dataset_column_names(dataset))
            if "labels" not in columns and columns & {"completion_mask", "assistant_masks"}:
                raise ValueError(
                    f"The {name} dataset has mask columns but no 'labels', and "
                    "`skip_prepare_dataset=True` skips label building, so it would train on the "
                    "full sequence. Add a 'labels' column (-100 for non-loss tokens) or drop "
                    "`skip_prepare_dataset`."
                )

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """As Trainer's; a dataset given here is prepared like the own ones."""
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            if self._skip_prepare_dataset:
                sets = eval_dataset if isinstance(eval_dataset, dict) else {"eval": eval_dataset}
                self._check_labels(sets)
            else:
                eval_dataset = self._prepared_eval(self.args, eval_dataset)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            self._signature_columns = ["input_ids", "labels", "seq_lengths"]

    # Loss

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a batch, and note its metrics."""
        labels = inputs["labels"]
        given = {key: value for key, value in inputs.items() if key != "labels"}
        scores, outputs = self._score(model, given, labels)
        loss = self._loss(scores, outputs, labels, num_items_in_batch)
        valid = float(scores.label_mask.astype("float32").sum())
        hits = scores.is_top1.astype("float32").sum()
        entropy = scores.entropy.sum()
        self._note(
            entropy=entropy / valid if valid else 0.0,
            mean_token_accuracy=hits / valid if valid else 0.0,
        )
        if scores.aux_loss is not None:
            self._note(aux_loss=scores.aux_loss)
        self._count_tokens(_tokens(inputs))
        return (loss, outputs) if return_outputs else loss

    def _loss(self, scores: TokenScores, outputs: Any, labels: Any, items: Any) -> paddle.Tensor:
        if self.compute_loss_func is not None:
            return self.compute_loss_func(outputs, labels, num_items_in_batch=items)
        if self.label_smoother is not None and self.args.loss_type == "nll":
            return self.label_smoother(outputs, labels, shift_labels=True, num_items_in_batch=items)
        losses = -scores.log_probs
        if self.args.loss_type == "dft":  # arXiv:2508.05629
            losses = losses * scores.log_probs.detach().exp()
        count = scores.label_mask.astype("float32").sum() if items is None else items
        if not isinstance(count, paddle.Tensor):
            count = paddle.to_tensor(count)
        count = count.astype("float32").clip(min=1.0)
        loss = losses.sum() / count
        if scores.aux_loss is not None:
            steps = self.current_gradient_accumulation_steps if items is not None else 1
            loss = loss + self.router_aux_loss_coef * scores.aux_loss / steps
        return loss


def _tokens(inputs: Any) -> int:
    """Count the tokens of a batch without its padding."""
    if "attention_mask" in inputs:
        return int(inputs["attention_mask"].sum())
    if "position_ids" in inputs:
        return inputs["position_ids"].shape[1]
    raise UnsupportedArgumentError(
        "SFTTrainer: the batch has neither 'attention_mask' nor 'position_ids'; let the collator "
        "give one of them."
    )
