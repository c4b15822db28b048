"""What scripts and subclasses reach for on a Trainer besides its methods: upstream's attributes,
``accelerator``, and the scaling of float16 losses.
"""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once

# Methods of upstream's Trainer that exist for several devices or for its own files. This Trainer
# never calls them, so a subclass that overrides one is told.
NEVER_CALLED = frozenset(
    """_build_accelerator_args _defer_fsdp_gradient_reduction _finalize_training
    _has_mixed_mesh_grads _init_training_state _issue_warnings_after_load _load_rng_state
    _mixed_mesh_grad_norm _prepare_context_parallel_inputs _prepare_for_training _run_epoch
    _sync_replicated_trainable_parameters _tune_save_checkpoint _update_auto_batch_size _wrap_model
    create_accelerator_and_postprocess""".split()
)


class SurfaceMixin:
    """Attributes of upstream's Trainer on one device."""

    args: Any
    model: Any
    optimizer: Any

    is_model_parallel = False
    is_deepspeed_enabled = is_fsdp_enabled = is_distributed_loading_by_transformers = False
    is_fsdp_xla_enabled = is_fsdp_xla_v1_enabled = is_fsdp_xla_v2_enabled = False
    deepspeed = None
    place_model_on_device = True
    _accelerator: Any = None
    _scaler: Any = None
    _walked: Any = None
    _parameters: Any = ()
    _layers: Any = ()
    _size: int | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("hfpaddle.transformers."):
            for name in sorted(NEVER_CALLED & set(vars(cls))):
                warn_once(f"{cls.__name__}.{name} is never called: hfpaddle's Trainer has no such.")

    @property
    def accelerator(self) -> Any:
        """An Accelerator for overridden methods; made when it is first asked for."""
        if self._accelerator is None:
            from hfpaddle.accelerate import Accelerator
            from hfpaddle.accelerate.state import AcceleratorState
            from hfpaddle.accelerate.utils import (
                DataLoaderConfiguration,
                GradientAccumulationPlugin,
            )

            AcceleratorState._reset_state(reset_partial_state=True)
            half = self.args.compute_dtype == "bfloat16"
            self._accelerator = Accelerator(
                cpu=self.args.use_cpu,
                mixed_precision="bf16" if half else "no",
                dataloader_config=DataLoaderConfiguration(
                    use_seedable_sampler=self.args.use_seedable_sampler,
                    data_seed=self.args.data_seed,
                ),
                # The Trainer counts accumulated batches itself.
                gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            )
            self._accelerator.scaler = self._scaler
        return self._accelerator

    @accelerator.setter
    def accelerator(self, value: Any) -> None:
        self._accelerator = value

    @property
    def gather_function(self) -> Any:
        return self.accelerator.gather_for_metrics

    def get_tp_size(self) -> int:
        """1: there is one device."""
        return 1

    get_cp_size = get_sp_size = get_tp_size

    def _enable_checkpointing(self, options: dict[str, Any]) -> None:
        """Let the model recompute its blocks, with the switch that it has."""
        model = self.model
        if hasattr(model, "activation_checkpointing_enable"):
            parts = {k: options.pop(k) for k in ("every_n_layers", "offload") if k in options}
            model.activation_checkpointing_enable(
                activation_checkpointing_kwargs=options or None, **parts
            )
        elif hasattr(model, "gradient_checkpointing_enable"):
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options or None)
        else:
            raise UnsupportedArgumentError(
                f"TrainingArguments(gradient_checkpointing=True): {type(model).__name__} has no "
                "gradient_checkpointing_enable. Leave it out, or give the model that method."
            )

    # What is found out once a pass: walking through a model takes as long as a small layer

    def _walk_model(self) -> None:
        self._walked = self.model
        self._parameters = self.model.parameters()
        self._layers = self.model.sublayers(include_self=True)
        self._size = None

    def _parameters_of(self, model: Any) -> list[paddle.Tensor]:
        return self._parameters if model is self._walked else model.parameters()

    def _switch_to_training(self, model: Any) -> None:
        if model is not self._walked or not all(layer.training for layer in self._layers):
            model.train()

    def _model_size(self) -> int:
        """Count the parameters that are no embeddings."""
        if self._size is None or self._walked is not self.model:
            self._size = self.model.num_parameters(exclude_embeddings=True)
        return self._size

    # Gradients of plug-in devices

    def _adds_gradients(self, count: int) -> bool:
        """Tell whether gradients of ``count`` batches must be added here.

        Paddle's wheel adds a second gradient to the first on the host, also where both lie on a
        custom device; the process dies if the host cannot read that memory.
        """
        first = next(iter(self._parameters_of(self.model)), None)
        return count > 1 and first is not None and first.place.is_custom_place()

    @paddle.no_grad()
    def _set_aside(self, sums: dict[int, paddle.Tensor]) -> None:
        """Add each parameter's gradient to ``sums`` and clear it."""
        for parameter in self._parameters_of(self.model):
            gradient = parameter.grad
            if gradient is not None:
                kept = sums.get(id(parameter))
                new = paddle.assign(gradient) if kept is None else paddle.add(kept, gradient)
                sums[id(parameter)] = new
                parameter.clear_gradient(False)

    def _put_back(self, sums: dict[int, paddle.Tensor]) -> None:
        for parameter in self._parameters_of(self.model):
            if id(parameter) in sums:
                parameter.grad = sums[id(parameter)]

    # Scaled losses

    def _make_scaler(self) -> Any:
        """Return a GradScaler for float16, or None."""
        if self.args.compute_dtype != "float16":
            return None
        from hfpaddle.torch.amp import GradScaler

        return GradScaler(self.args.device.type)

    def _backward(self, loss: paddle.Tensor) -> None:
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def _unscale_gradients(self) -> None:
        # A subclass may have done so in its own training_step.
        if self._scaler is not None and id(self.optimizer) not in self._scaler._found:
            self._scaler.unscale_(self.optimizer)

    def _optimizer_step(self) -> bool:
        """Update, and tell whether that happened: gradients that overflowed are skipped."""
        if self._scaler is None:
            self.optimizer.step()
            return True
        before = self._scaler.get_scale()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return self._scaler.get_scale() >= before
