"""Mirror of ``accelerate.state``: what a process knows of itself. There is one process so far.

Making a state imports `hfpaddle.torch`, whose device names and tensor methods accelerate's scripts
expect.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.dataclasses import (
    DistributedType,
    DynamoBackend,
    GradientAccumulationPlugin,
    PrecisionType,
    TorchDynamoPlugin,
)
from hfpaddle.backends import resolve_device
from hfpaddle.core.errors import MissingFeatureError, UnsupportedArgumentError

_COUNTS = ("WORLD_SIZE", "PADDLE_TRAINERS_NUM", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


def is_initialized() -> bool:
    """Whether a state was made."""
    return PartialState._shared_state != {}


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on", "y", "t")


def _refuse_processes() -> None:
    for name in _COUNTS:
        count = os.environ.get(name, "1")
        if count.isdigit() and int(count) > 1:
            raise MissingFeatureError(
                f"{name}={count}: hfpaddle.accelerate runs one process (limit: 1). "
                f"Unset {name}, or start the script with `hfpaddle launch --num_processes 1`."
            )


class PartialState:
    """Device and rank of this process; every instance is the same.

    Raises: MissingFeatureError where the environment announces more than one process.
    """

    _shared_state: dict[str, Any] = {}

    def __init__(self, cpu: bool = False, **kwargs: Any) -> None:
        self.__dict__ = self._shared_state
        if self.initialized:
            return
        _refuse_processes()
        from hfpaddle import torch

        self._cpu = cpu or _flag("ACCELERATE_USE_CPU")
        self.device = torch.device(resolve_device("cpu" if self._cpu else None).split(":")[0])
        self.debug = _flag("ACCELERATE_DEBUG_MODE")
        self.backend = None
        self.distributed_type = DistributedType.NO
        self.num_processes = 1
        self.process_index = self.local_process_index = 0
        self.fork_launched = _flag("FORK_LAUNCHED")

    def __repr__(self) -> str:
        backend = f"  Backend: {self.backend}" if self.backend else ""
        return (
            f"Distributed environment: {self.distributed_type}{backend}\n"
            f"Num processes: {self.num_processes}\n"
            f"Process index: {self.process_index}\n"
            f"Local process index: {self.local_process_index}\n"
            f"Device: {self.device}\n"
        )

    @staticmethod
    def _reset_state() -> None:
        PartialState._shared_state.clear()

    @property
    def initialized(self) -> bool:
        return self._shared_state != {}

    @property
    def default_device(self) -> Any:
        return self.device

    @property
    def use_distributed(self) -> bool:
        return self.distributed_type != DistributedType.NO and self.num_processes > 1

    @property
    def is_last_process(self) -> bool:
        return self.process_index == self.num_processes - 1

    @property
    def is_main_process(self) -> bool:
        return self.process_index == 0

    @property
    def is_local_main_process(self) -> bool:
        return self.local_process_index == 0

    def wait_for_everyone(self) -> None:
        """One process waits for nobody."""

    @contextlib.contextmanager
    def split_between_processes(self, inputs: Any, apply_padding: bool = False) -> Iterator[Any]:
        """Yield this process's part of ``inputs``: all of it."""
        yield inputs

    @contextlib.contextmanager
    def main_process_first(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def local_main_process_first(self) -> Iterator[None]:
        yield

    def on_main_process(self, function: Callable | None = None) -> Callable:
        return self.on_process(function, process_index=0)

    def on_local_main_process(self, function: Callable | None = None) -> Callable:
        return self.on_process(function, process_index=0)

    def on_last_process(self, function: Callable) -> Callable:
        return self.on_process(function, process_index=self.num_processes - 1)

    def on_process(
        self, function: Callable | None = None, process_index: int | None = None
    ) -> Callable:
        """Return ``function``, or one that does nothing where the rank is another."""
        if function is None:
            return partial(self.on_process, process_index=process_index)
        if self.process_index == process_index or not self.use_distributed:
            return function
        return lambda *args, **kwargs: None

    def on_local_process(
        self, function: Callable | None = None, local_process_index: int | None = None
    ) -> Callable:
        if function is None:
            return partial(self.on_local_process, local_process_index=local_process_index)
        return self.on_process(function, local_process_index)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print once, not once a process."""
        if self.is_local_main_process:
            print(*args, **kwargs)

    def set_device(self) -> None:
        """Nothing to choose: one device."""

    def destroy_process_group(self, group: Any = None) -> None:
        """No group was made."""


class AcceleratorState:
    """A `PartialState` with the precision; every instance is the same."""

    _shared_state: dict[str, Any] = {}

    def __init__(
        self,
        mixed_precision: str | None = None,
        cpu: bool = False,
        dynamo_plugin: TorchDynamoPlugin | None = None,
        deepspeed_plugin: Any = None,
        fsdp_plugin: Any = None,
        torch_tp_plugin: Any = None,
        megatron_lm_plugin: Any = None,
        parallelism_config: Any = None,
        _from_accelerator: bool = False,
        **kwargs: Any,
    ) -> None:
        self.__dict__ = self._shared_state
        if self.initialized:
            self._check_initialized(mixed_precision, cpu)
            return
        if not _from_accelerator:
            raise ValueError(
                "AcceleratorState is made by Accelerator(): create one before reading its state."
            )
        if mixed_precision is None:
            mixed_precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
        if mixed_precision not in PrecisionType:
            choices = PrecisionType.list()
            raise UnsupportedArgumentError(
                f"Unknown mixed_precision mode: {mixed_precision}. Choose between {choices}"
            )
        if mixed_precision == "fp8":
            raise UnsupportedArgumentError(
                "mixed_precision='fp8' is not implemented (nearest: 'bf16' on a GPU, or 'no')."
            )
        partial_state = PartialState(cpu, **kwargs)
        self._partial = partial_state
        self._mixed_precision = mixed_precision
        self.dynamo_plugin = dynamo_plugin or TorchDynamoPlugin(backend=DynamoBackend.NO)
        self.deepspeed_plugins = self.fsdp_plugin = self.parallelism_config = None
        self.device_mesh = None

    def _check_initialized(self, mixed_precision: str | None, cpu: bool) -> None:
        if cpu and self.device.type != "cpu":
            raise ValueError(
                f"AcceleratorState was made on {self.device}; cpu=True comes too late. "
                "Restart, or call AcceleratorState._reset_state(True) first."
            )
        if mixed_precision is not None and str(mixed_precision) != self._mixed_precision:
            raise ValueError(
                f"AcceleratorState was made with mixed_precision={self._mixed_precision!r}; "
                f"{str(mixed_precision)!r} comes too late. Pass it to the first Accelerator()."
            )

    def __repr__(self) -> str:
        return f"{self._partial!r}\nMixed precision type: {self.mixed_precision}\n"

    @staticmethod
    def _reset_state(reset_partial_state: bool = False) -> None:
        AcceleratorState._shared_state.clear()
        if reset_partial_state:
            PartialState._reset_state()

    @property
    def initialized(self) -> bool:
        return self._shared_state != {}

    @property
    def mixed_precision(self) -> str:
        return self._mixed_precision

    @property
    def deepspeed_plugin(self) -> None:
        return None

    @property
    def is_fsdp2(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        known = self.__dict__.get("_partial")
        if known is None or name.startswith("__"):
            raise AttributeError(f"AcceleratorState has no attribute {name!r}")
        return getattr(known, name)


class GradientState:
    """Whether gradients are complete, and which loader is being read; every instance is the same.

    Attributes:
        sync_gradients: the batch at hand ends an accumulation.
        plugin_kwargs: settings of the `GradientAccumulationPlugin` that differ from its defaults.
    """

    _shared_state: dict[str, Any] = {}

    def __init__(
        self, gradient_accumulation_plugin: GradientAccumulationPlugin | None = None
    ) -> None:
        self.__dict__ = self._shared_state
        if not self.initialized:
            self.sync_gradients = True
            self._references: list[Any] = [None]
            self.plugin_kwargs: dict[str, Any] = {}
        if gradient_accumulation_plugin is not None:
            self.plugin_kwargs = gradient_accumulation_plugin.to_kwargs()

    @property
    def initialized(self) -> bool:
        return GradientState._shared_state != {}

    @property
    def num_steps(self) -> int:
        return self.plugin_kwargs.get("num_steps", 1)

    @property
    def adjust_scheduler(self) -> bool:
        return self.plugin_kwargs.get("adjust_scheduler", False)

    @property
    def sync_with_dataloader(self) -> bool:
        return self.plugin_kwargs.get("sync_with_dataloader", True)

    @property
    def end_of_dataloader(self) -> bool:
        return self.in_dataloader and self.active_dataloader.end_of_dataloader

    @property
    def remainder(self) -> int:
        return self.active_dataloader.remainder if self.in_dataloader else -1

    @property
    def dataloader_references(self) -> list[Any]:
        return [reference and reference() for reference in self._references]

    @dataloader_references.setter
    def dataloader_references(self, loaders: list[Any]) -> None:
        self._references = [None if x is None else weakref.ref(x) for x in loaders]

    @property
    def active_dataloader(self) -> Any:
        return self.dataloader_references[-1]

    @property
    def in_dataloader(self) -> bool:
        return self.active_dataloader is not None

    def _set_sync_gradients(self, sync_gradients: bool) -> None:
        self.sync_gradients = sync_gradients

    def _add_dataloader(self, dataloader: Any) -> None:
        self.dataloader_references = [*self.dataloader_references, dataloader]

    def _remove_dataloader(self, dataloader: Any) -> None:
        self.dataloader_references = [
            x for x in self.dataloader_references if x is not dataloader
        ] or [None]

    def __repr__(self) -> str:
        return (
            f"Sync Gradients: {self.sync_gradients}\n"
            f"At end of current dataloader: {self.end_of_dataloader}\n"
            f"Extra samples added: {self.remainder}\n"
            f"Gradient accumulation plugin: {self.plugin_kwargs}\n"
        )

    @staticmethod
    def _reset_state() -> None:
        GradientState._shared_state.clear()


__getattr__ = fallback(__name__)
