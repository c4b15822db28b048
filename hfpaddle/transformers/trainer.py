"""Mirror of ``transformers.trainer``: the training loop on one Paddle device.

The order of data, the losses, the updates, and what is logged, evaluated and saved when, are
upstream's. `trainer_data` makes loaders, `trainer_optimizer` the optimizer, `trainer_checkpoint`
saves and resumes, `trainer_evaluate` evaluates, `trainer_hub` uploads.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import paddle
from transformers import BatchEncoding as _Encoding
from transformers.trainer_callback import (
    CallbackHandler,
    DefaultFlowCallback,
    ExportableState,
    PrinterCallback,
    TrainerControl,
    TrainerState,
)
from transformers.trainer_utils import (
    SaveStrategy,
    TrainOutput,
    align_special_tokens,
    compare_trainer_and_checkpoint_args,
    get_last_checkpoint,
    number_of_arguments,
    sort_checkpoints,
    speed_metrics,
)
from transformers.utils import is_in_notebook, logging

from hfpaddle.core.logging import warn_once
from hfpaddle.ops.precision import products
from hfpaddle.transformers import trainer_random
from hfpaddle.transformers.integrations.integration_utils import (
    get_reporting_integration_callbacks,
)
from hfpaddle.transformers.trainer_checkpoint import STATE, CheckpointMixin, clean, remove
from hfpaddle.transformers.trainer_data import DataMixin, Feed, set_epoch
from hfpaddle.transformers.trainer_evaluate import EvaluationMixin
from hfpaddle.transformers.trainer_hub import HubMixin
from hfpaddle.transformers.trainer_jit_checkpoint import JITCheckpointCallback
from hfpaddle.transformers.trainer_metrics import MetricsMixin
from hfpaddle.transformers.trainer_neftune import add_noise
from hfpaddle.transformers.trainer_optimizer import OptimizerMixin
from hfpaddle.transformers.trainer_progress import ProgressCallback
from hfpaddle.transformers.trainer_pt_utils import get_model_param_count
from hfpaddle.transformers.trainer_search import SearchMixin
from hfpaddle.transformers.trainer_setup import Plan, SetupMixin
from hfpaddle.transformers.trainer_surface import SurfaceMixin
from hfpaddle.transformers.trainer_utils import (
    enable_full_determinism,
    find_executable_batch_size,
    set_seed,
)
from hfpaddle.transformers.training_args import TrainingArguments

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts

# What a checkpoint's files are called here.
TRAINER_STATE_NAME, TRAINING_ARGS_NAME = STATE, "training_args.json"
OPTIMIZER_NAME, SCHEDULER_NAME, SCALER_NAME = "optimizer.json", "scheduler.json", "scaler.json"

DEFAULT_CALLBACKS = [DefaultFlowCallback]
DEFAULT_PROGRESS_CALLBACK = ProgressCallback

if is_in_notebook():
    from transformers.utils.notebook import NotebookProgressCallback

    DEFAULT_PROGRESS_CALLBACK = NotebookProgressCallback


class Trainer(
    SurfaceMixin,
    SetupMixin,
    DataMixin,
    OptimizerMixin,
    CheckpointMixin,
    EvaluationMixin,
    MetricsMixin,
    HubMixin,
    SearchMixin,
):
    """Train, evaluate and predict; arguments, methods and attributes as upstream's Trainer.

    Args:
        model: a model of hfpaddle, or any ``paddle.nn.Layer`` that returns a loss.
        args: TrainingArguments; without them ``output_dir`` is ``tmp_trainer``.
        data_collator: makes a batch of a list of examples.
        train_dataset, eval_dataset: datasets; several for evaluation as a dict.
        processing_class: tokenizer or processor; ``tokenizer`` is its old name.
        model_init: makes the model anew for each call of `train`, instead of ``model``.
        compute_loss_func: ``(outputs, labels, num_items_in_batch) -> loss``.
        compute_metrics: ``EvalPrediction -> dict``.
        callbacks: instances or classes of TrainerCallback.
        optimizers: an optimizer and a schedule, each may be None.
        optimizer_cls_and_kwargs: class and keywords of the optimizer.
        preprocess_logits_for_metrics: ``(logits, labels) -> what to keep``.
    """

    loss_is_scaled_for_ga: bool | None = None

    def __init__(
        self,
        model: Any = None,
        args: TrainingArguments | None = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Callable | None = None,
        compute_loss_func: Callable | None = None,
        compute_metrics: Callable | None = None,
        callbacks: list | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_cls_and_kwargs: tuple[Any, dict] | None = None,
        preprocess_logits_for_metrics: Callable | None = None,
        tokenizer: Any = None,
    ) -> None:
        if tokenizer is not None:
            warn_once("Trainer: tokenizer is called processing_class since transformers 5.")
            processing_class = tokenizer if processing_class is None else processing_class
        self.args = args = TrainingArguments("tmp_trainer") if args is None else args
        self._seed()
        logging.set_verbosity(args.get_process_log_level())
        self.neftune_noise_alpha = args.neftune_noise_alpha
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.processing_class = processing_class
        self.compute_loss_func, self.compute_metrics = compute_loss_func, compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizer, self.lr_scheduler = optimizers
        self.optimizer_cls_and_kwargs = optimizer_cls_and_kwargs
        self.model_init = model_init
        self.model = self.model_wrapped = self._first_model(model)
        self.data_collator = self._collator(data_collator)
        self._inspect_model()
        self._validate_args()
        self._start_state(callbacks or [])

    def _start_state(self, callbacks: list) -> None:
        args = self.args
        found = [*DEFAULT_CALLBACKS, *get_reporting_integration_callbacks(args.report_to)]
        if args.enable_jit_checkpoint:
            found.append(JITCheckpointCallback)
        self.callback_handler = CallbackHandler(
            [*found, *callbacks],
            self.model,
            self.processing_class,
            self.optimizer,
            self.lr_scheduler,
        )
        self.add_callback(PrinterCallback if args.disable_tqdm else DEFAULT_PROGRESS_CALLBACK)
        self.hub_model_id: str | None = None
        if args.push_to_hub:
            self.init_hf_repo()
        os.makedirs(args.output_dir, exist_ok=True)
        self.control = TrainerControl()
        self.state = self._fresh_state()
        self.is_in_train, self.current_flos = False, 0.0
        self.hp_name = self.hp_search_backend = self._trial = None
        self._signature_columns = None
        self._train_batch_size = args.train_batch_size
        self._created_lr_scheduler = False
        self.control = self.callback_handler.on_init_end(args, self.state, self.control)
        if getattr(self.model, "config", None) is not None:
            self.model.config.use_cache = args.use_cache

    def _seed(self) -> None:
        seed = self.args.seed
        enable_full_determinism(seed) if self.args.full_determinism else set_seed(seed)

    def _fresh_state(self) -> TrainerState:
        parts = [*self.callback_handler.callbacks, self.control]
        return TrainerState(
            is_local_process_zero=True,
            is_world_process_zero=True,
            stateful_callbacks=[c for c in parts if isinstance(c, ExportableState)],
        )

    # Training

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train by the arguments.

        Args:
            resume_from_checkpoint: folder of a checkpoint, or True for the last in ``output_dir``.
            trial: of a search over hyperparameters.
            ignore_keys_for_eval: outputs of the model that are no predictions.
        Returns: steps done, mean loss of the steps of this call, metrics.
        Raises: ValueError if there is no checkpoint to resume from.
        """
        args, self.is_in_train = self.args, True
        if self.model_init is not None:
            self._seed()
            self.model = self.model_wrapped = self.call_model_init(trial)
            self.optimizer, self.lr_scheduler = None, None
            if self.place_model_on_device:
                self._move_model_to_device(self.model, args.device)
        if args.activation_checkpointing:
            self._enable_checkpointing(dict(args.activation_checkpointing_kwargs or {}))
        if self._is_text_processor() and hasattr(self.model, "config"):
            align_special_tokens(self.model, self.processing_class)
        self._hp_search_setup(trial)
        clean(args.output_dir)
        checkpoint = resume_from_checkpoint or None
        if checkpoint is True:
            checkpoint = get_last_checkpoint(args.output_dir)
            if checkpoint is None:
                raise ValueError(
                    f"No valid checkpoint found in output directory ({args.output_dir})"
                )
        if checkpoint is not None:
            self._load_from_checkpoint(str(checkpoint))
            state = TrainerState.load_from_json(os.path.join(checkpoint, STATE))
            if state.train_batch_size is not None and args.auto_find_batch_size:
                self._train_batch_size = state.train_batch_size
        loop = find_executable_batch_size(
            self._inner_training_loop, self._train_batch_size, args.auto_find_batch_size
        )
        noise = contextlib.nullcontext()
        if self.neftune_noise_alpha is not None:
            noise = add_noise(self.model, self.neftune_noise_alpha)
        with noise:
            return loop(
                args=args,
                resume_from_checkpoint=checkpoint,
                trial=trial,
                ignore_keys_for_eval=ignore_keys_for_eval,
            )

    def _inner_training_loop(
        self,
        batch_size: int | None = None,
        args: TrainingArguments | None = None,
        resume_from_checkpoint: str | None = None,
        trial: Any = None,
        ignore_keys_for_eval: Any = None,
    ) -> TrainOutput:
        args = self.args if args is None else args
        self._train_batch_size = batch_size or self._train_batch_size
        loader = self.get_train_dataloader()
        plan = self.plan_training(loader)
        self._walk_model()
        progress = self._begin(plan, resume_from_checkpoint)
        self._announce(plan)
        start = time.time()
        self._initial_num_input_tokens_seen = self.state.num_input_tokens_seen
        self._initial_global_step = self.state.global_step
        self._clear_gradients()
        self.callback_handler.train_dataloader = loader
        self.control = self.callback_handler.on_train_begin(args, self.state, self.control)
        if args.eval_on_start:
            self._evaluate(trial, ignore_keys_for_eval, skip_scheduler=True)
        first = self._epoch
        for epoch in range(first, plan.epochs):
            self.control = self.callback_handler.on_epoch_begin(args, self.state, self.control)
            self._one_pass(plan, loader, epoch, progress, ignore_keys_for_eval, start)
            progress = None
            if self.control.should_training_stop:
                break
        return self._finish(plan, start)

    def _begin(self, plan: Plan, checkpoint: str | None) -> dict[str, Any] | None:
        """Make state, optimizer and schedule, or take up a checkpoint's. Returns its progress."""
        self.state = self._fresh_state()
        self.state.is_hyper_param_search = self._trial is not None
        self.state.train_batch_size = self._train_batch_size
        self.state.compute_steps(self.args, plan.max_steps)
        if self._created_lr_scheduler:
            self.lr_scheduler, self._created_lr_scheduler = None, False
        self.create_optimizer()
        self.create_scheduler(num_training_steps=plan.max_steps)
        self._epoch = self._batches_given = self._batch_number = self._globalstep_last_logged = 0
        self._epoch_ended, self._feed = False, None
        self._scaler = self._make_scaler()
        bars = [c for c in self.callback_handler.callbacks if isinstance(c, ProgressCallback)]
        self._bars: list[ProgressCallback] = bars
        if self._accelerator is not None:
            self._accelerator.scaler = self._scaler
        self._tr_loss, self._total_loss_scalar = paddle.zeros([]).to(self.args._device_name), 0.0
        progress = None
        if checkpoint is not None:
            progress = self._resume(plan, checkpoint)
        self.state.init_training_references(self, plan.max_steps, plan.epochs, self._trial)
        for name in ("model", "optimizer", "lr_scheduler"):
            setattr(self.callback_handler, name, getattr(self, name))
        return progress

    def _resume(self, plan: Plan, checkpoint: str) -> dict[str, Any] | None:
        self.state = TrainerState.load_from_json(os.path.join(checkpoint, STATE))
        best = self.state.best_model_checkpoint
        if best is not None and not os.path.isdir(best):
            logger.warning(f"The best checkpoint {best} does not exist any more: it is forgotten.")
            self.state.best_model_checkpoint = None
        compare_trainer_and_checkpoint_args(self.args, self.state)
        self._load_callback_state()
        self._load_optimizer_and_scheduler(checkpoint)
        self._load_scaler(checkpoint)
        self._globalstep_last_logged = self.state.global_step
        progress = self._load_progress(checkpoint)
        if progress is None:
            self._epoch = self.state.global_step // plan.updates_per_epoch
            return None
        self._batch_number = progress["batch_number"]
        self._globalstep_last_logged = progress["last_logged"]
        self._tr_loss += progress["tr_loss"]
        self._total_loss_scalar -= progress["tr_loss"]  # belongs to the steps of an earlier call
        trainer_random.restore(trainer_random.from_json(progress["random"]))
        self._epoch = progress["epoch"] + int(progress["epoch_ended"])
        return None if self.args.ignore_data_skip else progress

    def _open_feed(self, loader: Any, progress: dict[str, Any] | None) -> Feed | None:
        """Return this epoch's batches, from where ``progress`` stood."""
        if progress is None or progress["epoch_ended"] or not progress["batches"]:
            self._batches_given = 0
            return Feed(loader)
        self._batches_given = progress["batches"]
        feed = Feed.resumed(loader, self._batches_given, progress["feed"])
        trainer_random.restore(trainer_random.from_json(progress["random"]))
        return feed

    def _one_pass(
        self,
        plan: Plan,
        loader: Any,
        epoch: int,
        progress: dict[str, Any] | None,
        ignore_keys: Any,
        start: float,
    ) -> None:
        """One pass over the data, or what is left of it."""
        args = self.args
        self._epoch, self._epoch_ended = epoch, False
        self._walk_model()
        set_epoch(loader, epoch)
        self._feed = self._open_feed(loader, progress)
        done = self._batches_given // args.gradient_accumulation_steps
        done += bool(self._batches_given % args.gradient_accumulation_steps)
        self._last_logs: tuple[Any, Any] = (None, None)
        for update in range(done, plan.updates_per_epoch):
            count = plan.batches_of(update, args.gradient_accumulation_steps)
            batches, items = self.get_batch_samples(self._feed, count, args.device)
            if not batches and self._batches_given == 0 and update == 0:
                logger.warning("There seems not to be a single sample in your epoch_iterator.")
                self.control.should_training_stop = True
            if not batches:
                break
            self._run_update(plan, batches, items)
            if self._stepped:
                self._after_step(epoch, ignore_keys, start)
            if self.control.should_epoch_stop or self.control.should_training_stop:
                break
        self._epoch_ended = True
        self.control = self.callback_handler.on_epoch_end(args, self.state, self.control)
        self._after_step(epoch, ignore_keys, start)

    def _after_step(self, epoch: int, ignore_keys: Any, start: float) -> None:
        norm, rate = self._last_logs
        self._maybe_log_save_evaluate(
            self._tr_loss, norm, self.model, self._trial, epoch, ignore_keys, start, rate
        )

    def _run_update(self, plan: Plan, batches: list, items: Any) -> None:
        """Forward and backward of each batch, then one step of the optimizer."""
        args, handler = self.args, self.callback_handler
        self.current_gradient_accumulation_steps = len(batches)
        self._stepped = False
        sums: dict[int, paddle.Tensor] | None = {} if self._adds_gradients(len(batches)) else None
        for i, inputs in enumerate(batches):
            if i == 0:
                self.control = handler.on_step_begin(args, self.state, self.control)
            trainer_random.seed_step(args.seed, self._batch_number)
            self._batch_number += 1
            loss = self.training_step(self.model, inputs, items)
            self._add_loss(loss)
            if sums is not None:
                self._set_aside(sums)
            self._batches_given += 1
            self.current_flos += float(self.floating_point_ops(inputs))
            self._track_num_input_tokens(inputs)
            self._show_progress(inputs, loss)
            if i < len(batches) - 1:
                self.control = handler.on_substep_end(args, self.state, self.control)
                if self.control.should_epoch_stop or self.control.should_training_stop:
                    return
                continue
            if sums is not None:
                self._put_back(sums)
            self._unscale_gradients()
            norm = self._clip_grad_norm(self.model) if args.max_grad_norm > 0 else None
            norm = self._get_grad_norm(self.model, grad_norm=norm)
            self.control = handler.on_pre_optimizer_step(args, self.state, self.control)
            updated = self._optimizer_step()
            self.control = handler.on_optimizer_step(args, self.state, self.control)
            rate = self._get_learning_rate()
            if updated and not self._scheduled_by_metric:
                self.lr_scheduler.step()
            self._clear_gradients()
            self.state.global_step += 1
            self.state.epoch = self._epoch + self._batches_given / plan.batches_per_epoch
            self._last_logs, self._stepped = (norm, rate), True
            self.control = handler.on_step_end(args, self.state, self.control)

    def _show_progress(self, inputs: Any, loss: paddle.Tensor) -> None:
        for bar in self._bars:
            pad = getattr(self.processing_class, "pad_token_id", None)
            bar.on_batch(inputs, loss, getattr(self.model, "main_input_name", "input_ids"), pad)

    def _add_loss(self, loss: paddle.Tensor) -> None:
        """Add to the losses not yet logged; one that is not finite counts as their mean."""
        loss = loss.astype("float32").reshape([])
        if self.args.logging_nan_inf_filter and not bool(paddle.isfinite(loss)):
            steps = 1 + self.state.global_step - self._globalstep_last_logged
            self._tr_loss = self._tr_loss + self._tr_loss / steps
        else:
            self._tr_loss = self._tr_loss + loss

    def _clear_gradients(self) -> None:
        for parameter in self._parameters_of(self.model):
            parameter.clear_gradient(False)

    def _maybe_log_save_evaluate(
        self,
        tr_loss: Any,
        grad_norm: Any,
        model: Any,
        trial: Any,
        epoch: float,
        ignore_keys_for_eval: Any,
        start_time: float,
        learning_rate: float | None = None,
    ) -> None:
        """Log, evaluate and save, as far as the control says."""
        if self.control.should_log and self.state.global_step > self._globalstep_last_logged:
            total = float(tr_loss)
            self._tr_loss = paddle.zeros_like(self._tr_loss)
            steps = self.state.global_step - self._globalstep_last_logged
            logs: dict[str, float] = {"loss": total / steps}
            if grad_norm is not None:
                logs["grad_norm"] = float(grad_norm)
            rate = self._get_learning_rate() if learning_rate is None else learning_rate
            logs["learning_rate"] = rate
            self._total_loss_scalar += total
            self._globalstep_last_logged = self.state.global_step
            self.store_flos()
            self.log(logs, start_time)
        if self.control.should_evaluate:
            metrics = self._evaluate(trial, ignore_keys_for_eval)
            best = self._determine_best_metric(metrics=metrics, trial=trial)
            if self.args.save_strategy == SaveStrategy.BEST:
                self.control.should_save = best
        if self.control.should_save:
            self._save_checkpoint(model, trial)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def _finish(self, plan: Plan, start: float) -> TrainOutput:
        self._total_loss_scalar += float(self._tr_loss)
        steps = self.state.global_step - self._initial_global_step
        loss = self._total_loss_scalar / max(steps, 0.001)
        samples = plan.samples * steps / max(self.state.max_steps, 1)
        metrics = speed_metrics("train", start, num_samples=samples, num_steps=steps)
        self.store_flos()
        metrics["total_flos"], metrics["train_loss"] = self.state.total_flos, loss
        self.log(metrics)
        best = self.state.best_model_checkpoint
        if self.args.load_best_model_at_end and best is not None:
            self._load_best_model()
        if best is not None and self.args.save_total_limit == 1:
            folder = self._get_output_dir(self._trial)
            for path in sort_checkpoints(folder, best_model_checkpoint=best):
                if not os.path.samefile(path, best):
                    remove(path)
        self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
        self._finish_current_push()
        self.is_in_train, self._feed = False, None
        return TrainOutput(self.state.global_step, loss, metrics)

    # One batch

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Forward and backward of one batch. Returns its loss, detached."""
        self._switch_to_training(model)
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        every = self.args.torch_empty_cache_steps
        if every is not None and self.state.global_step % every == 0 and self.args.n_gpu:
            paddle.device.cuda.empty_cache()
        scaled = self.loss_is_scaled_for_ga
        if scaled is None:
            counted = self.model_accepts_loss_kwargs and num_items_in_batch is not None
            scaled = counted or self.compute_loss_func is not None
        if not scaled:
            loss = loss / self.current_gradient_accumulation_steps
        self._backward(loss)
        return loss.detach()

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the loss of a batch, and with ``return_outputs`` the model's outputs.

        Override it for a loss of your own; see ``loss_is_scaled_for_ga``.
        """
        inputs = dict(inputs)
        labels = None
        if self.label_smoother is not None or self.compute_loss_func is not None:
            labels = inputs.pop("labels", None)
        if self.compute_loss_func is not None and labels is None:
            warn_once("Trainer: compute_loss_func is given and the batch has no labels.")
        if self.model_accepts_loss_kwargs and num_items_in_batch is not None:
            inputs["num_items_in_batch"] = num_items_in_batch
        outputs = model(**inputs)
        if self.compute_loss_func is not None:
            loss = self.compute_loss_func(outputs, labels, num_items_in_batch=num_items_in_batch)
        elif labels is not None:
            loss = self.label_smoother(
                outputs,
                labels,
                shift_labels=self._is_causal_lm,
                num_items_in_batch=num_items_in_batch,
            )
        elif isinstance(outputs, dict):
            if outputs.get("loss") is None:
                raise ValueError(
                    "The model did not return a loss from the inputs, only the following keys: "
                    f"{','.join(outputs.keys())}. For reference, the inputs it received are "
                    f"{','.join(inputs.keys())}."
                )
            loss = outputs["loss"]
        else:
            loss = outputs[0]
        return (loss, outputs) if return_outputs else loss

    def compute_loss_context_manager(self) -> Any:
        """Mixed precision where it is asked for and the device has it."""
        stack = contextlib.ExitStack()
        stack.enter_context(self.autocast_smart_context_manager())
        return stack

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        dtype = self.args.compute_dtype
        if dtype is None:
            half = self.args.bf16 and self.args.half_products
            return products("bfloat16") if half else contextlib.nullcontext()
        return paddle.amp.auto_cast(dtype=dtype, level="O1")

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple:
        """Return the next batches and the number of items in their labels, or None."""
        batches = []
        for _ in range(num_batches):
            batch = next(epoch_iterator, None)
            if batch is None:
                break
            batches.append(batch)
        return batches, self._get_num_items_in_batch(batches, device)

    def _get_num_items_in_batch(self, batch_samples: list, device: Any) -> Any:
        """Count the labels that are scored, where the loss is divided by them."""
        counted = self.model_accepts_loss_kwargs or self.compute_loss_func is not None
        if not batch_samples or "labels" not in batch_samples[0] or not counted:
            return None
        total = 0
        for batch in batch_samples:
            labels = batch.get("shift_labels", batch["labels"])
            if not hasattr(labels, "shape"):
                return None
            if self._loss_shifts_labels and "shift_labels" not in batch:
                labels = labels[..., 1:]
            total = total + (labels != -100).sum()
        return total

    def _prepare_input(self, data: Any) -> Any:
        if isinstance(data, (Mapping, _Encoding)):
            moved = {key: self._prepare_input(value) for key, value in data.items()}
            return moved if isinstance(data, _Encoding) else type(data)(moved)
        if isinstance(data, (list, tuple)):
            return type(data)(self._prepare_input(value) for value in data)
        if isinstance(data, paddle.Tensor):
            return data.to(self.args._device_name)
        return data

    def _prepare_inputs(self, inputs: Any) -> Any:
        """Move a batch to the device. Raises: ValueError for an empty one."""
        inputs = self._prepare_input(inputs)
        if not inputs:
            raise ValueError(
                "The batch received was empty, your model won't be able to train on it. "
                "Double-check that your training dataset contains keys expected by the model: "
                f"{','.join(self._signature_columns or [])}."
            )
        return inputs

    # Logs and counts

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add ``logs`` to ``state.log_history`` and hand them to the callbacks."""
        if self.state.epoch is not None:
            logs["epoch"] = self.state.epoch
        if self.args.include_num_input_tokens_seen != "no":
            seen = self.state.num_input_tokens_seen
            logs["num_input_tokens_seen"] = seen
            if start_time is not None:
                fresh = seen - self._initial_num_input_tokens_seen
                logs.update(speed_metrics("train", start_time, num_tokens=fresh))
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _announce(self, plan: Plan) -> None:
        logger.info("***** Running training *****")
        logger.info(f"  Num examples = {plan.examples:,}")
        logger.info(f"  Num Epochs = {plan.epochs:,}")
        logger.info(f"  Total optimization steps = {plan.max_steps:,}")
        count = get_model_param_count(self.model, trainable_only=True)
        logger.info(f"  Number of trainable parameters = {count:,}")

    def call_model_init(self, trial: Any = None) -> Any:
        """Return a new model of ``model_init``, which may take the trial of a search."""
        count = number_of_arguments(self.model_init)
        if count > 1:
            raise RuntimeError("model_init should have 0 or 1 argument.")
        model = self.model_init(trial) if count else self.model_init()  # type: ignore[misc]
        if model is None:
            raise RuntimeError("model_init should not return None.")
        return model

    def _move_model_to_device(self, model: Any, device: Any) -> None:
        if getattr(model, "hf_device_map", None) is not None:
            logger.warning("The model has a device map: it stays where it is.")
            return
        model.to(self.args._device_name)

    def is_local_process_zero(self) -> bool:
        return True

    def is_world_process_zero(self) -> bool:
        return True

    def add_callback(self, callback: Any) -> None:
        self.callback_handler.add_callback(callback)

    def pop_callback(self, callback: Any) -> Any:
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: Any) -> None:
        self.callback_handler.remove_callback(callback)

    def end(self) -> None:
        """Close what `accelerator` opened, if it was used."""
        if self._accelerator is not None:
            self._accelerator.end_training()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.transformers.mirror import resolve_in

    return resolve_in("trainer", name)
