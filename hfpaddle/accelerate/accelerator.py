"""Mirror of ``accelerate.accelerator``, on one device."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator
from typing import Any

import paddle

from hfpaddle.accelerate.accelerator_checkpoints import CheckpointsMixin
from hfpaddle.accelerate.accelerator_processes import ProcessesMixin
from hfpaddle.accelerate.data_loader import DataLoaderShard, prepare_data_loader, skip_first_batches
from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.optimizer import AcceleratedOptimizer
from hfpaddle.accelerate.scheduler import AcceleratedScheduler
from hfpaddle.accelerate.state import AcceleratorState, GradientState
from hfpaddle.accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, filter_trackers
from hfpaddle.accelerate.utils.dataclasses import (
    AutocastKwargs,
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
    GradScalerKwargs,
    InitProcessGroupKwargs,
    KwargsHandler,
    ProfileKwargs,
    ProjectConfiguration,
    TorchDynamoPlugin,
)
from hfpaddle.accelerate.utils.gradients import clip_grad_norm_, clip_grad_value_
from hfpaddle.accelerate.utils.imports import is_bf16_available
from hfpaddle.accelerate.utils.memory import release_memory
from hfpaddle.accelerate.utils.operations import convert_to_fp32
from hfpaddle.accelerate.utils.other import extract_model_from_parallel
from hfpaddle.core.errors import MissingFeatureError, UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.ops.precision import gains_by_half_products, products

_UNSET: Any = object()
_HANDLERS = {
    DistributedDataParallelKwargs: "ddp_handler",
    GradScalerKwargs: "scaler_handler",
    InitProcessGroupKwargs: "init_handler",
    AutocastKwargs: "autocast_handler",
    ProfileKwargs: "profile_handler",
}


def _is_loader(obj: Any) -> bool:
    return hasattr(obj, "__iter__") and hasattr(obj, "dataset") and hasattr(obj, "batch_sampler")


def _is_optimizer(obj: Any) -> bool:
    return hasattr(obj, "step") and (hasattr(obj, "zero_grad") or hasattr(obj, "clear_grad"))


def _is_scheduler(obj: Any) -> bool:
    named = hasattr(obj, "get_last_lr") or isinstance(obj, paddle.optimizer.lr.LRScheduler)
    return hasattr(obj, "step") and named


class Accelerator(CheckpointsMixin, ProcessesMixin):
    """Runs a training loop on this machine's device. Arguments and methods are upstream's.

    ``prepare`` takes models, loaders, optimizers and schedules of the torch surface, and Paddle's.

    Raises: MissingFeatureError for DeepSpeed, FSDP, Megatron-LM and parallel plugins;
        UnsupportedArgumentError for fp8. fp16 and bf16 on a device that does not compute in them
        warn, and all is float32.
    """

    def __init__(
        self,
        device_placement: bool = True,
        split_batches: bool = _UNSET,
        mixed_precision: Any = None,
        gradient_accumulation_steps: int = 1,
        cpu: bool = False,
        dataloader_config: DataLoaderConfiguration | None = None,
        deepspeed_plugin: Any = None,
        fsdp_plugin: Any = None,
        torch_tp_plugin: Any = None,
        megatron_lm_plugin: Any = None,
        rng_types: list[Any] | None = None,
        log_with: Any = None,
        project_dir: str | os.PathLike | None = None,
        project_config: ProjectConfiguration | None = None,
        gradient_accumulation_plugin: GradientAccumulationPlugin | None = None,
        step_scheduler_with_optimizer: bool = True,
        kwargs_handlers: list[KwargsHandler] | None = None,
        dynamo_backend: Any = None,
        dynamo_plugin: TorchDynamoPlugin | None = None,
        deepspeed_plugins: Any = None,
        parallelism_config: Any = None,
    ) -> None:
        plugins = {
            "deepspeed_plugin": deepspeed_plugin,
            "deepspeed_plugins": deepspeed_plugins,
            "fsdp_plugin": fsdp_plugin,
            "torch_tp_plugin": torch_tp_plugin,
            "megatron_lm_plugin": megatron_lm_plugin,
            "parallelism_config": parallelism_config,
        }
        _refuse(plugins)
        if dynamo_plugin is not None and dynamo_backend is not None:
            raise ValueError("Pass only one of `dynamo_plugin` and `dynamo_backend`.")
        self.trackers: list[Any] = []
        project_dir = None if project_dir is None else os.fspath(project_dir)
        self.project_configuration = project_config or ProjectConfiguration(project_dir=project_dir)
        if project_dir is not None and self.project_dir is None:
            self.project_configuration.set_directories(project_dir)
        self._take_handlers(kwargs_handlers or [])
        self.state = AcceleratorState(
            mixed_precision=None if mixed_precision is None else str(mixed_precision),
            cpu=cpu,
            dynamo_plugin=dynamo_plugin or TorchDynamoPlugin(backend=dynamo_backend),
            _from_accelerator=True,
        )
        self._take_trackers(log_with)
        self._set_accumulation(gradient_accumulation_steps, gradient_accumulation_plugin)
        self.device_placement = device_placement
        self.dataloader_config = dataloader_config or DataLoaderConfiguration()
        if split_batches is not _UNSET:
            self.dataloader_config.split_batches = split_batches
        self.step_scheduler_with_optimizer = step_scheduler_with_optimizer
        self.rng_types = ["generator"] if rng_types is None else rng_types
        self._set_precision()
        self._start_empty()

    def _start_empty(self) -> None:
        self.step = 0
        self.flag_tensor = None
        self._optimizers: list[Any] = []
        self._models: list[Any] = []
        self._schedulers: list[Any] = []
        self._dataloaders: list[Any] = []
        self._custom_objects: list[Any] = []
        self._save_hooks: dict[int, Any] = {}
        self._load_hooks: dict[int, Any] = {}

    def _take_handlers(self, handlers: list[KwargsHandler]) -> None:
        for name in _HANDLERS.values():
            setattr(self, name, None)
        for handler in handlers:
            if type(handler) not in _HANDLERS:
                raise UnsupportedArgumentError(
                    f"kwargs_handlers: {type(handler).__name__} is not implemented (have: "
                    f"{', '.join(cls.__name__ for cls in _HANDLERS)})."
                )
            name = _HANDLERS[type(handler)]
            if getattr(self, name) is not None:
                raise ValueError(f"You can only pass one {type(handler)} in `kwargs_handlers`.")
            setattr(self, name, handler)
            if name in ("ddp_handler", "init_handler"):
                warn_once(f"{type(handler).__name__} has no effect in one process.")

    def _take_trackers(self, log_with: Any) -> None:
        self.log_with = filter_trackers(log_with, self.logging_dir)
        if log_with is not None and not self.log_with:
            warnings.warn(
                f"`log_with={log_with}` was passed but no supported trackers are currently "
                "installed.",
                stacklevel=3,
            )

    def _set_accumulation(self, steps: int, plugin: GradientAccumulationPlugin | None) -> None:
        if plugin is None:
            steps = int(os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", steps))
            plugin = GradientAccumulationPlugin(num_steps=steps)
        elif steps != 1:
            raise ValueError(
                "Pass only one of `gradient_accumulation_steps` and `gradient_accumulation_plugin`."
            )
        self.gradient_state = GradientState(gradient_accumulation_plugin=plugin)

    def _set_precision(self) -> None:
        self.scaler: Any = None
        self.native_amp = self.half_products = False
        precision = self.state.mixed_precision
        if precision == "bf16":
            self.half_products = gains_by_half_products(self.device.type)
            self.native_amp = self.half_products or is_bf16_available(True)
            if not self.native_amp:
                warn_once(
                    f"mixed_precision='bf16' has no effect: {self.device} does not compute in "
                    "bfloat16 with this Paddle, so all is float32."
                )
        elif precision == "fp16" and self.device.type == "cpu":
            # As upstream: fp16 on a CPU is accepted, and everything stays in float32.
            warn_once("mixed_precision='fp16' has no effect on the CPU: all is float32.")
        elif precision == "fp16":
            from hfpaddle import torch

            options = self.scaler_handler.to_kwargs() if self.scaler_handler else {}  # type: ignore
            self.scaler, self.native_amp = torch.amp.GradScaler(**options), True

    # Accumulation

    @property
    def sync_gradients(self) -> bool:
        return self.gradient_state.sync_gradients

    @sync_gradients.setter
    def sync_gradients(self, sync_gradients: bool) -> None:
        self.gradient_state.sync_gradients = sync_gradients

    @property
    def gradient_accumulation_steps(self) -> int:
        return self.gradient_state.num_steps

    @gradient_accumulation_steps.setter
    def gradient_accumulation_steps(self, gradient_accumulation_steps: int) -> None:
        self.gradient_state.plugin_kwargs.update({"num_steps": gradient_accumulation_steps})

    def _do_sync(self) -> None:
        if self.gradient_state.sync_with_dataloader and self.gradient_state.end_of_dataloader:
            self.step = 0
            self.gradient_state._set_sync_gradients(True)
        else:
            self.step += 1
            complete = self.step % self.gradient_state.num_steps == 0
            self.gradient_state._set_sync_gradients(complete)

    @contextlib.contextmanager
    def accumulate(self, *models: Any) -> Iterator[None]:
        """One batch of several: optimizers and schedules in the block step at the last."""
        self._do_sync()
        yield

    @contextlib.contextmanager
    def no_sync(self, model: Any) -> Iterator[None]:
        yield

    @staticmethod
    @contextlib.contextmanager
    def trigger_sync_in_backward(model: Any) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def join_uneven_inputs(
        self, joinables: Any, even_batches: bool | None = None
    ) -> Iterator[None]:
        yield

    def backward(self, loss: Any, **kwargs: Any) -> None:
        """Differentiate ``loss`` divided by the batches that accumulate."""
        loss = loss / self.gradient_accumulation_steps
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward(**kwargs)

    def unscale_gradients(self, optimizer: Any = None) -> None:
        if self.scaler is None:
            return
        chosen = self._optimizers if optimizer is None else optimizer
        for one in chosen if isinstance(chosen, (list, tuple)) else [chosen]:
            inner = one.optimizer if type(one) is AcceleratedOptimizer else one
            self.scaler.unscale_(inner)

    def clip_grad_norm_(self, parameters: Any, max_norm: float, norm_type: float = 2) -> Any:
        """Scale gradients to a joint norm of at most ``max_norm``; return the norm before."""
        self.unscale_gradients()
        return clip_grad_norm_(parameters, max_norm, norm_type)

    def clip_grad_value_(self, parameters: Any, clip_value: float) -> None:
        self.unscale_gradients()
        clip_grad_value_(parameters, clip_value)

    def set_trigger(self) -> None:
        """Remember that something happened; :meth:`check_trigger` asks."""
        self.flag_tensor = True

    def check_trigger(self) -> bool:
        found, self.flag_tensor = bool(self.flag_tensor), None
        return found

    @property
    def optimizer_step_was_skipped(self) -> bool:
        return any(optimizer.step_was_skipped for optimizer in self._optimizers)

    # Preparation

    def prepare(self, *args: Any, device_placement: list[bool] | None = None) -> Any:
        """Return ``args`` ready for the loop, in their order; what is none of ours comes back."""
        places: list[Any] = [None] * len(args) if device_placement is None else device_placement
        if len(places) != len(args):
            raise ValueError(
                f"`device_placement` should be a list with {len(args)} elements (the number of "
                "objects passed)."
            )
        pairs = list(zip(args, places, strict=True))
        result = [self._prepare_one(obj, True, place) for obj, place in pairs]
        result = [self._prepare_one(obj, False) for obj in result]
        return tuple(result) if len(result) != 1 else result[0]

    def _prepare_one(
        self, obj: Any, first_pass: bool = False, device_placement: bool | None = None
    ) -> Any:
        if not first_pass:
            ready = type(obj) is AcceleratedOptimizer or type(obj) is AcceleratedScheduler
            return self.prepare_scheduler(obj) if _is_scheduler(obj) and not ready else obj
        if isinstance(obj, paddle.nn.Layer):
            return self.prepare_model(obj, device_placement)
        if _is_loader(obj):
            return self.prepare_data_loader(obj, device_placement)
        if _is_optimizer(obj):
            return self.prepare_optimizer(obj, device_placement)
        return obj

    def prepare_model(
        self, model: Any, device_placement: bool | None = None, evaluation_mode: bool = False
    ) -> Any:
        """Move ``model`` to the device; in mixed precision wrap its forward."""
        if not any(model is known for known in self._models):
            self._models.append(model)
        if getattr(model, "_is_accelerate_prepared", False):
            return model
        if self.device_placement if device_placement is None else device_placement:
            from hfpaddle.torch._device import place_of

            model.to(place_of(self.device))
        if self.native_amp:
            forward = model.forward

            @functools.wraps(forward)
            def mixed(*args: Any, **kwargs: Any) -> Any:
                with self.autocast():
                    return convert_to_fp32(forward(*args, **kwargs))

            model.__dict__["_original_forward"] = forward
            model.forward = mixed
        model.__dict__["_is_accelerate_prepared"] = True
        return model

    def prepare_data_loader(
        self,
        data_loader: Any,
        device_placement: bool | None = None,
        slice_fn_for_dispatch: Any = None,
    ) -> Any:
        if type(data_loader) is not DataLoaderShard:
            place = self.device_placement if device_placement is None else device_placement
            data_loader = prepare_data_loader(
                data_loader,
                self.device,
                put_on_device=place,
                split_batches=self.split_batches,
                dispatch_batches=self.dispatch_batches,
                use_seedable_sampler=self.use_seedable_sampler,
                data_seed=self.dataloader_config.data_seed,
                non_blocking=self.non_blocking,
            )
        if not any(data_loader is known for known in self._dataloaders):
            self._dataloaders.append(data_loader)
        return data_loader

    def prepare_optimizer(self, optimizer: Any, device_placement: bool | None = None) -> Any:
        if type(optimizer) is not AcceleratedOptimizer:
            optimizer = AcceleratedOptimizer(optimizer, scaler=self.scaler)
        if not any(optimizer is known for known in self._optimizers):
            self._optimizers.append(optimizer)
        return optimizer

    def prepare_scheduler(self, scheduler: Any) -> Any:
        if type(scheduler) is not AcceleratedScheduler:
            own = [
                opt for opt in self._optimizers
                if getattr(scheduler, "optimizer", None) in (opt, opt.optimizer)
            ]  # fmt: skip
            scheduler = AcceleratedScheduler(
                scheduler,
                own[:1] or self._optimizers,
                step_with_optimizer=self.step_scheduler_with_optimizer,
                split_batches=self.split_batches,
            )
        if not any(scheduler is known for known in self._schedulers):
            self._schedulers.append(scheduler)
        return scheduler

    @contextlib.contextmanager
    def autocast(self, autocast_handler: AutocastKwargs | None = None) -> Iterator[None]:
        """Compute in the mixed precision, if there is one."""
        handler = autocast_handler or self.autocast_handler or AutocastKwargs()  # type: ignore
        if not self.native_amp or not handler.enabled:
            yield
            return
        dtype = "bfloat16" if self.mixed_precision == "bf16" else "float16"
        with products(dtype) if self.half_products else paddle.amp.auto_cast(dtype=dtype):
            yield

    @contextlib.contextmanager
    def profile(self, profile_handler: ProfileKwargs | None = None) -> Iterator[Any]:
        """Run the block beside a profiler that records nothing, and says so once.

        Raises: MissingFeatureError for settings that ask for a trace.
        """
        handler = profile_handler or self.profile_handler or ProfileKwargs()  # type: ignore
        with handler.build() as profiler:
            yield profiler

    def unwrap_model(
        self, model: Any, keep_fp32_wrapper: bool = True, keep_torch_compile: bool = True
    ) -> Any:
        """Return ``model`` as it was before :meth:`prepare`."""
        return extract_model_from_parallel(model, keep_fp32_wrapper, keep_torch_compile)

    def free_memory(self, *objects: Any) -> list[None]:
        """Forget what was prepared; return a None for each object."""
        self._optimizers, self._models, self._schedulers, self._dataloaders = [], [], [], []
        self.step = 0
        return release_memory(*objects)

    def clear(self, *objects: Any) -> list[None]:
        return self.free_memory(*objects)

    def skip_first_batches(self, dataloader: Any, num_batches: int = 0) -> Any:
        return skip_first_batches(dataloader, num_batches=num_batches)

    def verify_device_map(self, model: Any) -> bool:
        """Whether a part of ``model`` was spread over several devices."""
        parts = model.sublayers(include_self=True)
        return any(len(getattr(part, "hf_device_map", ())) > 1 for part in parts)

    # Trackers

    def init_trackers(
        self, project_name: str, config: dict | None = None, init_kwargs: dict | None = None
    ) -> None:
        """Open every tracker of ``log_with`` and give it the hyperparameters."""
        options = init_kwargs or {}
        for tracker in self.log_with:
            if not isinstance(tracker, GeneralTracker):
                made, kwargs = LOGGER_TYPE_TO_CLASS[str(tracker)], options.get(str(tracker), {})
                folder = [self.logging_dir] if made.requires_logging_directory else []
                tracker = made(project_name, *folder, **kwargs)
            self.trackers.append(tracker)
        for tracker in self.trackers:
            tracker.start()
            if config is not None:
                tracker.store_init_configuration(config)

    def get_tracker(self, name: str, unwrap: bool = False) -> Any:
        """Return an open tracker, or a blank one if none was opened.

        Raises: ValueError if others are open.
        """
        for tracker in self.trackers:
            if tracker.name == name:
                return tracker.tracker if unwrap else tracker
        if self.trackers:
            raise ValueError(f"{name} is not an available tracker stored inside the `Accelerator`.")
        return GeneralTracker(_blank=True)

    def log(self, values: dict, step: int | None = None, log_kwargs: dict | None = None) -> None:
        for tracker in self.trackers:
            tracker.log(values, step=step, **(log_kwargs or {}).get(tracker.name, {}))

    def end_training(self) -> None:
        for tracker in self.trackers:
            tracker.finish()
        self.state.destroy_process_group()

    def __deepcopy__(self, memo: Any) -> Accelerator:
        return self


def _refuse(plugins: dict[str, Any]) -> None:
    for name, value in plugins.items():
        if value is not None:
            raise MissingFeatureError(
                f"Accelerator({name}=...) is not implemented: one device, one process so far."
            )
    for name in ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise MissingFeatureError(
                f"ACCELERATE_USE_{name}=true asks for what is not implemented: one device, one "
                "process so far. Unset it."
            )


__getattr__ = fallback(__name__)
