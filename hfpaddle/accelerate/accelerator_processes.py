"""The part of an Accelerator that speaks of processes: there is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from hfpaddle.accelerate.state import AcceleratorState, GradientState, PartialState
from hfpaddle.accelerate.utils import operations
from hfpaddle.accelerate.utils.dataclasses import (
    DataLoaderConfiguration,
    DistributedType,
    ProjectConfiguration,
)


class ProcessesMixin:
    """Ranks, printing once, and gathering."""

    state: AcceleratorState
    gradient_state: GradientState
    dataloader_config: DataLoaderConfiguration
    project_configuration: ProjectConfiguration

    device = property(lambda self: self.state.device)
    distributed_type = property(lambda self: self.state.distributed_type)
    num_processes = property(lambda self: self.state.num_processes)
    process_index = property(lambda self: self.state.process_index)
    local_process_index = property(lambda self: self.state.local_process_index)
    use_distributed = property(lambda self: self.state.use_distributed)
    is_main_process = property(lambda self: self.state.is_main_process)
    is_local_main_process = property(lambda self: self.state.is_local_main_process)
    is_last_process = property(lambda self: self.state.is_last_process)
    mixed_precision = property(lambda self: self.state.mixed_precision)
    split_batches = property(lambda self: self.dataloader_config.split_batches)
    dispatch_batches = property(lambda self: self.dataloader_config.dispatch_batches)
    use_seedable_sampler = property(lambda self: self.dataloader_config.use_seedable_sampler)
    non_blocking = property(lambda self: self.dataloader_config.non_blocking)
    use_stateful_dataloader = property(lambda self: self.dataloader_config.use_stateful_dataloader)
    project_dir = property(lambda self: self.project_configuration.project_dir)
    logging_dir = property(lambda self: self.project_configuration.logging_dir)
    save_iteration = property(lambda self: self.project_configuration.iteration)
    deepspeed_plugin = property(lambda self: None)
    parallelism_config = property(lambda self: None)
    torch_device_mesh = property(lambda self: None)
    is_fsdp2 = property(lambda self: False)
    is_composable_parallelism_enabled = property(lambda self: False)
    fp8_backend = property(lambda self: None)
    data_parallel_rank = property(lambda self: 0)
    data_parallel_shard_rank = property(lambda self: 0)
    tensor_parallel_rank = property(lambda self: 0)
    pipeline_parallel_rank = property(lambda self: 0)
    context_parallel_rank = property(lambda self: 0)
    should_save_model = property(lambda self: self.is_main_process)

    @property
    def multi_device(self) -> bool:
        return self.use_distributed and self.distributed_type != DistributedType.NO

    @property
    def even_batches(self) -> bool:
        return self.dataloader_config.even_batches

    @even_batches.setter
    def even_batches(self, value: bool) -> None:
        self.dataloader_config.even_batches = value

    def print(self, *args: Any, **kwargs: Any) -> None:
        self.state.print(*args, **kwargs)

    def wait_for_everyone(self) -> None:
        self.state.wait_for_everyone()

    def main_process_first(self) -> AbstractContextManager[None]:
        return self.state.main_process_first()

    def local_main_process_first(self) -> AbstractContextManager[None]:
        return self.state.local_main_process_first()

    def split_between_processes(
        self, inputs: Any, apply_padding: bool = False
    ) -> AbstractContextManager[Any]:
        return PartialState().split_between_processes(inputs, apply_padding=apply_padding)

    def on_main_process(self, function: Callable | None = None) -> Callable:
        return PartialState().on_main_process(function)

    def on_local_main_process(self, function: Callable | None = None) -> Callable:
        return PartialState().on_local_main_process(function)

    def on_last_process(self, function: Callable) -> Callable:
        return PartialState().on_last_process(function)

    def on_process(
        self, function: Callable | None = None, process_index: int | None = None
    ) -> Callable:
        if function is None:
            return partial(self.on_process, process_index=process_index)
        return PartialState().on_process(function, process_index)

    def on_local_process(
        self, function: Callable | None = None, local_process_index: int | None = None
    ) -> Callable:
        if function is None:
            return partial(self.on_local_process, local_process_index=local_process_index)
        return PartialState().on_local_process(function, local_process_index)

    def gather(self, tensor: Any) -> Any:
        return operations.gather(tensor)

    def gather_for_metrics(self, input_data: Any, use_gather_object: bool = False) -> Any:
        """Return ``input_data`` of all processes, without items that were added to a last batch."""
        state = self.gradient_state
        if not state.end_of_dataloader or state.remainder <= 0:
            return input_data

        def trimmed(part: Any) -> Any:
            return part[: state.remainder]

        try:
            operations.recursively_apply(_cuttable, input_data, error_on_other_type=True)
        except TypeError:
            use_gather_object = True
        except ValueError:  # a loss without a batch axis comes back whole, as upstream
            return input_data
        if not use_gather_object:
            return operations.recursively_apply(trimmed, input_data)
        return trimmed(input_data) if isinstance(input_data, (list, tuple, str)) else input_data

    def reduce(self, tensor: Any, reduction: str = "sum", scale: float = 1.0) -> Any:
        return operations.reduce(tensor, reduction, scale)

    def pad_across_processes(
        self, tensor: Any, dim: int = 0, pad_index: int = 0, pad_first: bool = False
    ) -> Any:
        return operations.pad_across_processes(tensor, dim, pad_index, pad_first)


def _cuttable(tensor: Any) -> Any:
    if not tensor.shape:
        raise ValueError("a tensor without axes")
    return tensor
