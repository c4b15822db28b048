"""``torch.nn.parallel``: wrappers of a module.

On one process both call the module. Gradients of several processes are averaged by
``hfpaddle launch`` with the Trainer or Accelerator, or by Paddle's own ``paddle.DataParallel``.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.distributed as dist

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch.nn.modules.module import Module

__emulated__ = True

__all__ = ["DataParallel", "DistributedDataParallel"]


class DataParallel(Module):
    """Calls ``module`` on one device. Names of parameters begin with "module."

    Raises: UnsupportedArgumentError for more than one device.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        ids = list(device_ids or [])
        if len(ids) > 1:
            raise UnsupportedArgumentError(
                f"DataParallel(device_ids={ids}): one process drives one device here. Start one "
                "process a device with `hfpaddle launch`."
            )
        self.module, self.device_ids, self.dim = module, ids, dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """Calls ``module``; averages the gradients over the processes after each backward pass."""

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0,
        broadcast_buffers: bool = True, process_group: Any = None, bucket_cap_mb: Any = None,
        find_unused_parameters: bool = False, **_: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if process_group is not None:
            raise UnsupportedArgumentError(
                "DistributedDataParallel: process_group has no implementation here; all processes "
                "take part."
            )
        several = dist.is_initialized() and dist.get_world_size() > 1
        options = {"find_unused_parameters": find_unused_parameters}
        self._reducer = paddle.DataParallel(module, **options) if several else None
        self.module = module

    def no_sync(self) -> Any:
        """Leave the gradients alone within this context, to accumulate them."""
        import contextlib

        return contextlib.nullcontext() if self._reducer is None else self._reducer.no_sync()

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        call = self.module if self._reducer is None else self._reducer
        return call(*inputs, **kwargs)
