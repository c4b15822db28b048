"""Mirror of ``transformers.training_args``: upstream's fields and checks without torch.

Each field works, or is in `NO_EFFECT` (a warning, once, when it is set), or in `REFUSED` (an
error: it would change what is computed). The spellings of transformers 4 are in `LEGACY`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import training_args as upstream
from transformers.trainer_utils import IntervalStrategy, SchedulerType
from transformers.training_args import OptimizerNames, ParallelMode

from hfpaddle import backends
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once

__all__ = ["OptimizerNames", "ParallelMode", "TrainingArguments"]

NO_EFFECT: dict[str, str] = {
    "torch_compile": "models run as they are",
    "torch_compile_backend": "models run as they are",
    "torch_compile_mode": "models run as they are",
    "tf32": "Paddle's own setting of TF32 stays",
    "use_liger_kernel": "hfpaddle chooses its kernels itself, with the same results",
    "liger_kernel_config": "hfpaddle chooses its kernels itself, with the same results",
    "log_on_each_node": "there is one node",
    "save_on_each_node": "there is one node",
    "eval_use_gather_object": "there is one process",
    "ddp_find_unused_parameters": "there is one process",
    "ddp_bucket_cap_mb": "there is one process",
    "ddp_broadcast_buffers": "there is one process",
    "ddp_static_graph": "there is one process",
    "ddp_backend": "there is one process",
    "ddp_timeout": "there is one process",
    "local_rank": "the launcher's environment says the rank",
    "skip_memory_metrics": "memory is not tracked",
    "dataloader_pin_memory": "batches go to the device as they are",
}
REFUSED: dict[str, str] = {
    "fsdp": "one device holds the whole model; leave it empty",
    "fsdp_config": "one device holds the whole model; leave it empty",
    "deepspeed": "DeepSpeed needs torch; leave it None",
    "parallelism_config": "there is one device; leave it None",
    "optim_target_modules": "GaLore and Apollo are not implemented; use optim='adafactor'",
    "debug": "DebugUnderflowOverflow is not implemented; leave it empty",
}

# Spellings of transformers 4: the field that replaces one, or why it has no effect.
RENAMED: dict[str, str] = {
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "warmup_ratio": "warmup_steps",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "push_to_hub_model_id": "hub_model_id",
    "push_to_hub_token": "hub_token",
}
OBSOLETE: dict[str, str] = {
    "overwrite_output_dir": "an output folder is always reused",
    "save_safetensors": "weights are always safetensors",
    "include_tokens_per_second": "use include_num_input_tokens_seen",
    "half_precision_backend": "there is one",
    "fp16_opt_level": "there is one level",
    "fp16_backend": "there is one",
    "use_mps_device": "Paddle has no MPS device",
    "use_ipex": "Paddle has its own kernels",
    "jit_mode_eval": "models run as they are",
    "dispatch_batches": "there is one process",
    "split_batches": "there is one process",
    "ray_scope": "searches run on optuna",
    "tpu_num_cores": "there is no TPU",
    "mp_parameters": "there is one process",
    "torchdynamo": "models run as they are",
}
_FLAGS = (
    "no_cuda overwrite_output_dir save_safetensors include_tokens_per_second use_mps_device "
    "use_ipex jit_mode_eval dispatch_batches split_batches adafactor group_by_length "
    "include_inputs_for_metrics"
).split()
_NUMBERS = "per_gpu_train_batch_size per_gpu_eval_batch_size tpu_num_cores past_index".split()
LEGACY: dict[str, Any] = {
    **dict.fromkeys([*RENAMED, *OBSOLETE, "logging_dir"], str | None),
    **dict.fromkeys(_FLAGS, bool),
    **dict.fromkeys(_NUMBERS, int | None),
    "warmup_ratio": float | None,
}
_HELP = {"help": "A spelling of transformers 4."}


def _default(name: str) -> bool | None:
    return name == "save_safetensors" if LEGACY[name] is bool else None


_LegacyArguments: Any = dataclasses.make_dataclass(
    "_LegacyArguments",
    [(n, t, dataclasses.field(default=_default(n), metadata=_HELP)) for n, t in LEGACY.items()],
    bases=(upstream.TrainingArguments,),
)


@dataclasses.dataclass(repr=False)
class TrainingArguments(_LegacyArguments):
    """Upstream's TrainingArguments for Paddle devices; same fields, defaults and checks.

    Raises: UnsupportedArgumentError for what is in `REFUSED`; ValueError as upstream.
    """

    def __post_init__(self) -> None:
        self._read_legacy()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in REFUSED and value and value != field.default:
                raise UnsupportedArgumentError(
                    f"TrainingArguments({field.name}={value!r}): {REFUSED[field.name]}."
                )
            if field.name == "dataloader_pin_memory" and self.use_cpu:
                continue  # upstream sets it itself
            if field.name in NO_EFFECT and value != field.default and value is not None:
                warn_once(
                    f"TrainingArguments: {field.name} has no effect: {NO_EFFECT[field.name]}."
                )
        # With torch beside it, upstream would set torch's own switches here.
        compiled = {"torch_compile_backend": None, "torch_compile_mode": None}
        self.torch_compile |= any(getattr(self, name) is not None for name in compiled)
        with self._hidden({"torch_compile": False, "tf32": None, **compiled}):
            super().__post_init__()
        if self.torch_compile and self.torch_compile_backend is None:
            self.torch_compile_backend = "inductor"
        self._check_precision()

    @contextlib.contextmanager
    def _hidden(self, values: dict[str, Any]) -> Iterator[None]:
        """Give fields other ``values`` for a while."""
        kept = {name: getattr(self, name) for name in values}
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in kept.items():
                setattr(self, name, value)

    def _read_legacy(self) -> None:
        """Move values given under a name of transformers 4 to the name of today."""
        given = {n: getattr(self, n) for n in LEGACY if getattr(self, n) != _default(n)}
        if "save_safetensors" in given or (self.past_index or -1) >= 0:
            raise UnsupportedArgumentError(
                f"TrainingArguments(save_safetensors={self.save_safetensors}, "
                f"past_index={self.past_index}): transformers 5 has neither pickled weights nor "
                "past_index. Leave both out."
            )
        for name, value in given.items():
            if name in RENAMED:
                warn_once(f"TrainingArguments: {name} is called {RENAMED[name]} in transformers 5.")
                setattr(self, RENAMED[name], value)
            elif name in OBSOLETE:
                warn_once(f"TrainingArguments: {name} has no effect: {OBSOLETE[name]}.")
        if self.adafactor:
            self.optim = OptimizerNames.ADAFACTOR
        if self.group_by_length:
            self.train_sampling_strategy = "group_by_length"
        if self.include_inputs_for_metrics:
            self.include_for_metrics = [*self.include_for_metrics, "inputs"]
        for name in set(given) - {"logging_dir"}:
            setattr(self, name, _default(name))

    def _validate_args(self) -> None:
        # Upstream asks torch about bf16 and the plateau schedule; here neither depends on it.
        with self._hidden(
            {"bf16": False, "bf16_full_eval": False, "lr_scheduler_type": SchedulerType.LINEAR}
        ):
            super()._validate_args()
        for one, other in (("fp16", "bf16"), ("fp16_full_eval", "bf16_full_eval")):
            if getattr(self, one) and getattr(self, other):
                raise ValueError(f"At most one of {one} and {other} can be True, but not both")
        needs_metric = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
        if self.lr_scheduler_type in needs_metric and self.eval_strategy == IntervalStrategy.NO:
            raise ValueError(
                f"lr_scheduler_type {self.lr_scheduler_type.value} requires an eval strategy"
            )

    def _check_precision(self) -> None:
        if self.fp16 and not self.half_device:
            # As upstream, whose Accelerator wants a GPU for it.
            raise UnsupportedArgumentError(
                f"TrainingArguments(fp16=True) needs a device that computes in float16, and "
                f"{self._device_name} does not. Use bf16=True, or leave both out for float32."
            )
        halves = [
            n for n in ("fp16", "bf16", "fp16_full_eval", "bf16_full_eval") if getattr(self, n)
        ]
        rounds = self.half_products and halves[:1] == ["bf16"]
        if halves and not self.half_device and not rounds:
            warn_once(
                f"TrainingArguments: {halves[0]}=True on {self._device_name}, which computes in "
                "float32 alone; the run is float32."
            )

    # Where it runs

    @property
    def _device_name(self) -> str:
        """Paddle's name of the device."""
        return backends.resolve_device("cpu" if self.use_cpu else "auto")

    @property
    def half_device(self) -> bool:
        """Whether the device computes in half precision."""
        return backends.backend_of(self._device_name).half_compute

    @property
    def half_products(self) -> bool:
        """Whether the device computes in float32, but multiplies bfloat16 faster."""
        from hfpaddle.ops.precision import gains_by_half_products

        kind = self._device_name.split(":")[0]
        return not self.half_device and gains_by_half_products(kind)

    @property
    def compute_dtype(self) -> str | None:
        """The half precision in which the model computes, if one is asked for and the device has
        it.
        """
        if not self.half_device:
            return None
        return "bfloat16" if self.bf16 else "float16" if self.fp16 else None

    @property
    def device(self) -> Any:
        """The device of this process, an object with ``type`` and ``index``."""
        import paddle

        return backends.device_object(paddle.zeros([1]).to(self._device_name).place)

    @property
    def n_gpu(self) -> int:
        """Accelerators that this process uses: 0 or 1."""
        return int(backends.backend_of(self._device_name).indexed)

    _n_gpu = n_gpu

    @property
    def parallel_mode(self) -> ParallelMode:
        return ParallelMode.NOT_PARALLEL

    @property
    def world_size(self) -> int:
        return 1

    @property
    def process_index(self) -> int:
        return 0

    @property
    def local_process_index(self) -> int:
        return 0

    @property
    def distributed_state(self) -> None:
        return None

    @property
    def train_batch_size(self) -> int:
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        return self.per_device_eval_batch_size

    @contextlib.contextmanager
    def main_process_first(self, local: bool = True, desc: str = "work") -> Iterator[None]:
        """Nothing to wait for: there is one process."""
        yield

    # What the trainer reads

    @property
    def use_seedable_sampler(self) -> bool:
        """``accelerator_config["use_seedable_sampler"]``: order by seed and epoch."""
        config: Any = self.accelerator_config
        if isinstance(config, (str, os.PathLike)):
            with open(config, encoding="utf-8") as file:
                config = json.load(file)
        if isinstance(config, Mapping):
            return bool(config.get("use_seedable_sampler", True))
        return bool(getattr(config, "use_seedable_sampler", True))

    def to_dict(self) -> dict[str, Any]:
        """As upstream, without the names of transformers 4 that are not used."""
        unused = {name for name in LEGACY if getattr(self, name) == _default(name)}
        return {k: v for k, v in super().to_dict().items() if k not in unused}

    def __str__(self) -> str:
        lines = [line for line in super().__str__().splitlines(True)]
        return "".join(ln for ln in lines if ln.split("=")[0] not in LEGACY)

    __repr__ = __str__
