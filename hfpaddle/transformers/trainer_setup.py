"""What a Trainer finds out before it trains: about its arguments, its model and its data."""

from __future__ import annotations

import inspect
import math
import re
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import paddle
import transformers
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_MAPPING_NAMES,
)
from transformers.trainer_utils import SaveStrategy, has_length
from transformers.utils import logging
from transformers.utils.generic import can_return_loss, find_labels

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.data.data_collator import DataCollatorWithPadding, default_data_collator
from hfpaddle.transformers.trainer_evaluate import check_batch_metrics
from hfpaddle.transformers.trainer_pt_utils import LabelSmoother

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts

# Heads whose loss compares each position with the label after it, by name of the model's class.
_LOSSES = re.compile(
    "ForCausalLM|ForMaskedLM|ForQuestionAnswering|ForSequenceClassification|ForTokenClassification"
    "|ForImageClassification|ForVideoClassification|ForSegmentation|ForObjectDetection"
    "|ForConditionalGeneration"
)
_SHIFTED = ("ForCausalLM", "ForConditionalGeneration")


@dataclass
class Plan:
    """How long a training run is.

    Attributes:
        epochs: passes over the data, the last maybe not whole.
        updates_per_epoch: steps of the optimizer in each.
        batches_per_epoch: batches in each.
        examples: examples in the data set.
        samples: examples seen in the whole run.
        max_steps: steps of the optimizer in the whole run.
    """

    epochs: int
    updates_per_epoch: int
    batches_per_epoch: int
    examples: int
    samples: float
    max_steps: int

    def batches_of(self, update: int, accumulation: int) -> int:
        """Return how many batches update number ``update`` of an epoch takes."""
        if update == self.updates_per_epoch - 1:
            return self.batches_per_epoch % accumulation or accumulation
        return accumulation


class SetupMixin:
    """Checks and facts for the loop."""

    args: Any
    model: Any
    model_init: Any
    state: Any
    processing_class: Any
    data_collator: Any
    train_dataset: Any
    eval_dataset: Any
    optimizer: Any
    lr_scheduler: Any
    compute_metrics: Any
    current_flos: float
    _train_batch_size: int

    def _first_model(self, model: Any) -> Any:
        if (model is None) == (self.model_init is None):
            error = RuntimeError if model is None else ValueError
            raise error("`Trainer` requires either a `model` or `model_init` argument, one of them")
        model = self.call_model_init() if model is None else model  # type: ignore[attr-defined]
        if type(model).__name__ in MODEL_MAPPING_NAMES.values():
            raise ValueError(
                f"The model you have picked ({type(model).__name__}) cannot be used as is for "
                "training: it only computes hidden states and does not accept any labels. Choose "
                "a model with a head, any of the `AutoModelForXxx`."
            )
        self.place_model_on_device = self.args.place_model_on_device is not False
        if self.place_model_on_device:
            self._move_model_to_device(model, self.args.device)  # type: ignore[attr-defined]
        return model

    def _is_text_processor(self) -> bool:
        kinds = (transformers.PreTrainedTokenizerBase, transformers.ProcessorMixin)
        return isinstance(self.processing_class, kinds)

    def _collator(self, data_collator: Any) -> Any:
        if data_collator is not None:
            if not callable(data_collator):
                raise TypeError("The `data_collator` should be a function, or have `__call__`.")
            return data_collator
        kinds = (transformers.PreTrainedTokenizerBase, transformers.SequenceFeatureExtractor)
        if isinstance(self.processing_class, kinds):
            return DataCollatorWithPadding(self.processing_class)
        return default_data_collator

    def _inspect_model(self) -> None:
        """Find out about labels and losses from the model's class."""
        model = self.model
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        if inner is model and getattr(model, "is_quantized", False):
            raise UnsupportedArgumentError(
                "Trainer: the weights of this model are quantised and cannot be trained. Load it "
                "without quantization_config."
            )
        cls, args = type(inner), self.args
        name, config = cls.__name__, getattr(inner, "config", None)
        parameters = inspect.signature(inner.forward).parameters.values()
        takes_any = any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters)
        self.model_accepts_loss_kwargs = getattr(inner, "accepts_loss_kwargs", takes_any)
        self.label_names = find_labels(cls) if args.label_names is None else args.label_names
        self.can_return_loss = can_return_loss(cls)
        self._is_causal_lm = name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
        kind = getattr(inner, "loss_type", None) or next(iter(_LOSSES.findall(name)), None)
        encoder_decoder = getattr(config, "is_encoder_decoder", False)
        self._loss_shifts_labels = kind in _SHIFTED and not encoder_decoder
        self.label_smoother = None
        if args.label_smoothing_factor:
            if getattr(config, "problem_type", None) == "multi_label_classification":
                warnings.warn(
                    "Label smoothing is not compatible with multi-label classification. "
                    "Disabling label smoothing for this training run.",
                    stacklevel=4,
                )
            else:
                self.label_smoother = LabelSmoother(epsilon=args.label_smoothing_factor)

    def _validate_args(self) -> None:
        """Raise for arguments that contradict one another, before anything runs."""
        args = self.args
        if args.batch_eval_metrics and self.compute_metrics is not None:
            check_batch_metrics(self.compute_metrics)
        if args.eval_strategy != "no" and self.eval_dataset is None:
            raise ValueError(
                f"You have set `args.eval_strategy` to {args.eval_strategy} but you didn't pass an "
                "`eval_dataset` to `Trainer`. Either set `args.eval_strategy` to `no` or pass one."
            )
        keeps_best = args.save_strategy == SaveStrategy.BEST or args.load_best_model_at_end
        if keeps_best and args.metric_for_best_model is None:
            raise ValueError(
                "`args.metric_for_best_model` must be provided when using 'best' save_strategy or "
                "if `args.load_best_model_at_end` is set to `True`."
            )
        given = self.optimizer is not None
        if given and self.optimizer_cls_and_kwargs is not None:  # type: ignore[attr-defined]
            raise RuntimeError("Pass `optimizers` or `optimizer_cls_and_kwargs`, not both.")
        if self.model_init is not None and (given or self.lr_scheduler is not None):
            raise RuntimeError(
                "Passing a `model_init` is incompatible with providing the `optimizers` argument. "
                "Subclass `Trainer` and override `create_optimizer_and_scheduler`."
            )
        if self.train_dataset is not None and args.max_steps <= 0:
            if not has_length(self.train_dataset):
                raise ValueError(
                    "The train_dataset does not implement __len__, so max_steps has to be "
                    "specified: it bounds the loop and shapes the learning rate."
                )
        if args.gradient_accumulation_steps < 1:
            raise UnsupportedArgumentError(
                f"TrainingArguments(gradient_accumulation_steps={args.gradient_accumulation_steps})"
                ": at least 1."
            )

    def get_total_train_batch_size(self, args: Any) -> int:
        return self._train_batch_size * args.gradient_accumulation_steps

    def plan_training(self, loader: Any) -> Plan:
        """Return how long the run is. Raises: ValueError if nothing says so."""
        epochs, updates, examples, samples, _, batches, steps = self.set_initial_training_values(
            self.args, loader
        )
        return Plan(epochs, updates, batches, examples, samples, steps)

    def set_initial_training_values(
        self, args: Any, dataloader: Any
    ) -> tuple[int, int, int, float, int, int, int]:
        """Return epochs, updates an epoch, examples, examples seen in the run, examples an update,
        batches an epoch, and updates of the run.

        Raises: ValueError if neither the loader nor ``max_steps`` says how long the run is.
        """
        batches = len(dataloader) if has_length(dataloader) else None
        total, accumulation = (
            self.get_total_train_batch_size(args),
            args.gradient_accumulation_steps,
        )
        if batches:
            updates = max(math.ceil(batches / accumulation), 1)
            examples = self.num_examples(dataloader)  # type: ignore[attr-defined]
            if args.max_steps > 0:
                epochs, steps = math.ceil(args.max_steps / updates), args.max_steps
                return epochs, updates, examples, steps * total, total, batches, steps
            steps, samples = (
                math.ceil(args.num_train_epochs * updates),
                examples * args.num_train_epochs,
            )
            epochs = math.ceil(args.num_train_epochs)
            return epochs, updates, examples, samples, total, batches, steps
        if args.max_steps <= 0:
            raise ValueError(
                "args.max_steps must be set to a positive value if dataloader does not have a "
                f"length, was {args.max_steps}"
            )
        steps, samples = args.max_steps, args.max_steps * total
        return sys.maxsize, steps, samples, samples, total, steps * accumulation, steps

    def floating_point_ops(self, inputs: Any) -> int:
        """Estimate the operations of forward and backward: 6 for each token and parameter."""
        main = getattr(self.model, "main_input_name", "input_ids")
        if main not in inputs or not hasattr(self.model, "num_parameters"):
            return 0
        return 6 * math.prod(inputs[main].shape) * self._model_size()  # type: ignore[attr-defined]

    def store_flos(self) -> None:
        self.state.total_flos += self.current_flos
        self.current_flos = 0.0

    def _track_num_input_tokens(self, inputs: Any) -> None:
        """Count the tokens of a batch: all, or those that are no padding."""
        how = self.args.include_num_input_tokens_seen
        main = getattr(self.model, "main_input_name", "input_ids")
        if how == "no":
            return
        if main not in inputs:
            logger.warning(f"Tokens cannot be counted: the batch has no {main!r}.")
            return
        count: Any = math.prod(inputs[main].shape)
        if how == "non_padding":
            pad = getattr(self.processing_class, "pad_token_id", None)
            if "attention_mask" in inputs:
                count = inputs["attention_mask"].sum()
            elif pad is not None:
                count = (inputs[main] != pad).sum()
        self.state.num_input_tokens_seen += int(
            count.item() if isinstance(count, paddle.Tensor) else count
        )
