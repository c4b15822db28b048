"""Evaluation and prediction of a Trainer."""

from __future__ import annotations

import inspect
import math
import time
from typing import Any

import numpy as np
import paddle
from transformers.trainer_utils import (
    EvalLoopOutput,
    EvalPrediction,
    PredictionOutput,
    has_length,
    speed_metrics,
)
from transformers.utils import logging

from hfpaddle.transformers.trainer_data import Feed, is_iterable
from hfpaddle.transformers.trainer_pt_utils import (
    EvalLoopContainer,
    denumpify_detensorize,
    find_batch_size,
    nested_detach,
    nested_truncate,
)
from hfpaddle.transformers.trainer_utils import out_of_memory

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts

Step = tuple[Any, Any, Any]


class _Collected:
    """Losses, predictions, labels and inputs of an evaluation so far."""

    def __init__(self, concat: bool) -> None:
        self.losses, self.preds, self.labels, self.inputs = (
            EvalLoopContainer(concat, padding_index=-100) for _ in range(4)
        )

    def to_numpy(self) -> None:
        for part in (self.losses, self.preds, self.labels, self.inputs):
            part.to_cpu_and_numpy()


class EvaluationMixin:
    """evaluate, predict, and the loop below them."""

    args: Any
    model: Any
    eval_dataset: Any
    compute_metrics: Any
    preprocess_logits_for_metrics: Any
    callback_handler: Any
    state: Any
    control: Any
    label_names: list[str]
    label_smoother: Any
    is_in_train: bool
    # Seq2Seq counts the last batch's loss as often as any other's, as upstream does.
    _repeat_last_loss = False
    model_preparation_time: float | None = None

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Return the metrics on ``eval_dataset`` or the Trainer's own; of each of several in turn.

        Args:
            eval_dataset: a dataset, a dict of them, or a name of the own ones.
            ignore_keys: outputs of the model that are no predictions.
            metric_key_prefix: with which every metric's name begins.
        """
        own = eval_dataset is None
        datasets = self.eval_dataset if own else eval_dataset
        if isinstance(datasets, dict):
            metrics: dict[str, float] = {}
            for name, dataset in datasets.items():
                prefix = f"{metric_key_prefix}_{name}"
                metrics |= self.evaluate(name if own else dataset, ignore_keys, prefix)
            return metrics
        loader = self.get_eval_dataloader(eval_dataset)  # type: ignore[attr-defined]
        start = time.time()
        output = self.evaluation_loop(
            loader,
            description="Evaluation",
            prediction_loss_only=True if self.compute_metrics is None else None,
            ignore_keys=ignore_keys,
            metric_key_prefix=metric_key_prefix,
        )
        self._add_speed(output, metric_key_prefix, start)
        self.log(output.metrics)  # type: ignore[attr-defined]
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, output.metrics
        )
        return output.metrics

    def predict(
        self, test_dataset: Any, ignore_keys: Any = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Return predictions, labels and metrics on ``test_dataset``, as numpy arrays.

        Rows of different length are filled with -100 on the right.
        """
        loader = self.get_test_dataloader(test_dataset)  # type: ignore[attr-defined]
        start = time.time()
        output = self.evaluation_loop(
            loader,
            description="Prediction",
            ignore_keys=ignore_keys,
            metric_key_prefix=metric_key_prefix,
        )
        self._add_speed(output, metric_key_prefix, start)
        self.control = self.callback_handler.on_predict(
            self.args, self.state, self.control, output.metrics
        )
        return PredictionOutput(output.predictions, output.label_ids, output.metrics)

    def _add_speed(self, output: EvalLoopOutput, prefix: str, start: float) -> None:
        steps = math.ceil(output.num_samples / self.args.eval_batch_size)
        start += self.model_preparation_time or 0.0
        output.metrics.update(speed_metrics(prefix, start, output.num_samples, steps))

    def _prepare_evaluation(self, dataloader: Any, description: str) -> None:
        if not self.is_in_train and (self.args.bf16_full_eval or self.args.fp16_full_eval):
            if self.args.half_device:
                self.model.to(dtype="bfloat16" if self.args.bf16_full_eval else "float16")
        if self._walked is None and self.model_preparation_time is None:  # type: ignore[attr-defined]
            start = time.time()  # upstream wraps a model that has not been trained yet
            if getattr(self.model, "hf_device_map", None) is None:
                self._move_model_to_device(self.model, self.args.device)  # type: ignore[attr-defined]
            self.model_preparation_time = round(time.time() - start, 4)
        logger.info(f"\n***** Running {description} *****")
        logger.info(f"  Batch size = {self.args.eval_batch_size}")
        self.model.eval()
        if callable(getattr(self.optimizer, "eval", None)):  # type: ignore[attr-defined]
            self.optimizer.eval()  # type: ignore[attr-defined]
        self.callback_handler.eval_dataloader = dataloader

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: Any = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Run the model over ``dataloader`` and compute metrics of what comes out."""
        args = self.args
        loss_only = (
            args.prediction_loss_only if prediction_loss_only is None else prediction_loss_only
        )
        self._prepare_evaluation(dataloader, description)
        found = _Collected(args.eval_do_concat_batches)
        seen, metrics = 0, None
        size, feed = args.eval_batch_size, Feed(dataloader)
        remainder = self._remainder(dataloader, size)
        streaming = is_iterable(getattr(dataloader, "dataset", ()))
        for step, inputs in enumerate(feed):
            seen += find_batch_size(inputs) or 0
            limit = 0
            if feed.last and not self._repeat_last_loss:
                limit = find_batch_size(inputs) or 0 if streaming else remainder
            keep_inputs = "inputs" in args.include_for_metrics
            batch = self._evaluated(inputs, loss_only, ignore_keys, size, limit)
            losses, logits, labels, shown = batch
            whole = not args.batch_eval_metrics or description == "Prediction"
            parts = [(found.losses, losses, True), (found.preds, logits, whole)]
            parts += [(found.labels, labels, whole), (found.inputs, shown, whole and keep_inputs)]
            for part, value, wanted in parts:
                if value is not None and wanted:
                    part.add(value)
            self.control = self.callback_handler.on_prediction_step(args, self.state, self.control)
            if args.batch_eval_metrics:
                if self.compute_metrics is not None and logits is not None and labels is not None:
                    extra = self._extras(losses, inputs)
                    prediction = EvalPrediction(predictions=logits, label_ids=labels, **extra)
                    metrics = self.compute_metrics(prediction, compute_result=feed.last)
            elif args.eval_accumulation_steps and (step + 1) % args.eval_accumulation_steps == 0:
                found.to_numpy()
        return self._summary(found, dataloader, seen, metrics, metric_key_prefix)

    @staticmethod
    def _remainder(dataloader: Any, size: int) -> int:
        """Return how many examples the last batch has if it is a short one, else 0."""
        dataset = getattr(dataloader, "dataset", None)
        return len(dataset) % size if has_length(dataset) else 0

    def _extras(self, losses: Any, inputs: Any) -> dict[str, Any]:
        asked = self.args.include_for_metrics
        return {
            "losses": losses if "loss" in asked else None,
            "inputs": inputs if "inputs" in asked else None,
        }

    def _evaluated(
        self, inputs: Any, loss_only: bool, ignore_keys: Any, size: int, limit: int
    ) -> tuple[Any, Any, Any, Any]:
        """Return losses (one per example), logits, labels and main input of a batch."""
        loss, logits, labels = self.prediction_step(
            self.model, inputs, loss_only, ignore_keys=ignore_keys
        )
        if loss is not None:
            loss = loss.reshape([1]).tile([size])
        main = getattr(self.model, "main_input_name", "input_ids")
        shown = None
        if "inputs" in self.args.include_for_metrics:
            shown = self._prepare_input(inputs[main])  # type: ignore[attr-defined]
        if logits is not None and self.preprocess_logits_for_metrics is not None:
            logits = self.preprocess_logits_for_metrics(logits, labels)
        values = (loss, logits, labels, shown)
        if not limit:
            return values
        return tuple(None if v is None else nested_truncate(v, limit) for v in values)  # type: ignore[return-value]

    def _summary(
        self, found: _Collected, dataloader: Any, seen: int, metrics: Any, prefix: str
    ) -> EvalLoopOutput:
        losses, preds, labels, inputs = (
            part.get_arrays() for part in (found.losses, found.preds, found.labels, found.inputs)
        )
        dataset = getattr(dataloader, "dataset", None)
        if has_length(dataset):
            samples = len(dataset)
        else:
            samples = self.num_examples(dataloader) if has_length(dataloader) else seen  # type: ignore[attr-defined]
        samples = samples or seen
        computable = preds is not None and labels is not None and not self.args.batch_eval_metrics
        if self.compute_metrics is not None and computable:
            extra = self._extras(losses, inputs)
            metrics = self.compute_metrics(
                EvalPrediction(predictions=preds, label_ids=labels, **extra)
            )
        metrics = denumpify_detensorize({} if metrics is None else metrics)
        if isinstance(losses, list) and losses:
            losses = np.concatenate(losses)
        if isinstance(losses, np.ndarray):
            finite = np.isfinite(losses)
            if self.args.logging_nan_inf_filter and finite.any():
                losses = losses[finite]
            metrics[f"{prefix}_loss"] = losses.mean().item()
        if self.model_preparation_time is not None:
            metrics[f"{prefix}_model_preparation_time"] = self.model_preparation_time
        named = {k: v for k, v in metrics.items() if k.startswith(f"{prefix}_")}
        named |= {f"{prefix}_{k}": v for k, v in metrics.items() if k not in named}
        return EvalLoopOutput(preds, labels, named, samples)

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> Step:
        """Return loss, logits and labels of one batch; each may be None."""
        names = self.label_names
        has_labels = bool(names) and all(inputs.get(name) is not None for name in names)
        return_loss = inputs.get("return_loss")
        without_labels = not names and (
            self.can_return_loss if return_loss is None else return_loss  # type: ignore[attr-defined]
        )
        inputs = self._prepare_inputs(inputs)  # type: ignore[attr-defined]
        if ignore_keys is None:
            config = getattr(self.model, "config", None)
            ignore_keys = getattr(config, "keys_to_ignore_at_inference", ["past_key_values"])
            ignore_keys = [] if config is None else ignore_keys
        labels = loss = None
        if has_labels or without_labels:
            labels = nested_detach(tuple(inputs.get(name) for name in names))
            labels = labels[0] if len(labels) == 1 else labels
        with paddle.no_grad(), self.compute_loss_context_manager():  # type: ignore[attr-defined]
            if has_labels or without_labels:
                items = self._get_num_items_in_batch([inputs], self.args.device)  # type: ignore[attr-defined]
                loss, outputs = self.compute_loss(  # type: ignore[attr-defined]
                    model, inputs, return_outputs=True, num_items_in_batch=items
                )
                loss = loss.detach().mean()
                ignore_keys = [*ignore_keys, "loss"]
                rest = outputs if isinstance(outputs, dict) else outputs[1:]
            else:
                rest = model(**inputs)
        if prediction_loss_only:
            return loss, None, None
        if isinstance(rest, dict):
            rest = tuple(v for k, v in rest.items() if k not in ignore_keys)
        logits = nested_detach(rest)
        return loss, logits[0] if len(logits) == 1 else logits, labels

    def _evaluate(
        self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False
    ) -> dict[str, float]:
        """`evaluate` during training; a schedule by metric steps on its result."""
        try:
            metrics = self.evaluate(ignore_keys=ignore_keys_for_eval)
        except (RuntimeError, MemoryError, SystemError) as error:
            if self.args.auto_find_batch_size and out_of_memory(error):
                # Worded so that it is not taken for the training's own lack of memory.
                raise RuntimeError(
                    "Evaluation hit an out-of-memory error. `auto_find_batch_size` only adjusts "
                    "the training batch size, reduce `per_device_eval_batch_size` instead."
                ) from error
            raise
        self._report_to_hp_search(trial, self.state.global_step, metrics)  # type: ignore[attr-defined]
        if self._scheduled_by_metric and not skip_scheduler:  # type: ignore[attr-defined]
            name = self.args.metric_for_best_model
            self.lr_scheduler.step(self._metric(metrics, name))  # type: ignore[attr-defined]
        return metrics


def check_batch_metrics(compute_metrics: Any) -> None:
    """Raise ValueError unless ``compute_metrics`` takes ``compute_result``."""
    if "compute_result" not in inspect.signature(compute_metrics).parameters:
        raise ValueError(
            "When using `batch_eval_metrics`, your `compute_metrics` function must take a "
            "`compute_result` boolean argument, which is True after the last batch."
        )
