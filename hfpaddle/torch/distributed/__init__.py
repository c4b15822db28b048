"""``torch.distributed`` over ``paddle.distributed``: what single scripts and launches use."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any

import paddle.distributed as dist

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._missing import missing
from hfpaddle.torch._promote import copy_into

__emulated__ = True


class ReduceOp(Enum):
    """How values of several processes become one."""

    SUM = dist.ReduceOp.SUM
    AVG = dist.ReduceOp.AVG
    PRODUCT = dist.ReduceOp.PROD
    MIN = dist.ReduceOp.MIN
    MAX = dist.ReduceOp.MAX


class group:
    """``group.WORLD`` is all processes."""

    WORLD = None


class GroupMember:
    """As ``group``."""

    WORLD = None


ProcessGroup = dist.collective.Group
reduce_scatter_tensor = missing("distributed.reduce_scatter_tensor", "Use all_reduce.")
_state = {"initialized": False, "backend": ""}


def is_available() -> bool:
    """Paddle always has it."""
    return True


def is_initialized() -> bool:
    """Whether ``init_process_group`` ran, here or in Paddle."""
    return _state["initialized"] or dist.is_initialized()


def is_nccl_available() -> bool:
    """Whether Paddle was built for CUDA."""
    import paddle

    return paddle.is_compiled_with_cuda()


def is_gloo_available() -> bool:
    """Paddle brings it."""
    return True


def is_mpi_available() -> bool:
    """No."""
    return False


def is_torchelastic_launched() -> bool:
    """No."""
    return False


def init_process_group(backend: Any = None, init_method: Any = None, **_: Any) -> None:
    """Join the processes that the launcher started."""
    names = {"PADDLE_TRAINER_ID": "RANK", "PADDLE_TRAINERS_NUM": "WORLD_SIZE"}
    for paddles, torchs in names.items():
        if torchs in os.environ:
            os.environ.setdefault(paddles, os.environ[torchs])
    if int(os.environ.get("PADDLE_TRAINERS_NUM", 1)) > 1:
        if "PADDLE_TRAINER_ENDPOINTS" not in os.environ:
            raise UnsupportedArgumentError(
                "init_process_group: start the processes with `hfpaddle launch` or "
                "paddle.distributed.launch; Paddle needs the endpoints that these set."
            )
        dist.init_parallel_env()
    _state.update(initialized=True, backend=backend or "gloo")


def destroy_process_group(group: Any = None) -> None:
    """Leave."""
    if dist.is_initialized():
        dist.destroy_process_group(group)
    _state["initialized"] = False


def get_backend(group: Any = None) -> str:
    """Name of the backend asked for."""
    return _state["backend"]


def get_rank(group: Any = None) -> int:
    """Index of this process."""
    return dist.get_rank(group)


def get_world_size(group: Any = None) -> int:
    """Number of processes."""
    return dist.get_world_size(group)


def new_group(ranks: Any = None, **_: Any) -> Any:
    """A group of processes."""
    return dist.new_group(ranks)


def _alone(group: Any = None) -> bool:
    return get_world_size(group) == 1


def barrier(group: Any = None, **_: Any) -> None:
    """Wait for all."""
    if not _alone(group):
        dist.barrier(group)


def all_reduce(tensor: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False):
    """``tensor`` becomes the reduction over all processes."""
    if not _alone(group):
        return dist.all_reduce(tensor, op.value, group, sync_op=not async_op)
    return None


def reduce(tensor: Any, dst: int, op: ReduceOp = ReduceOp.SUM, group: Any = None, **_: Any):
    """As ``all_reduce`` for one process."""
    return None if _alone(group) else dist.reduce(tensor, dst, op.value, group)


def broadcast(tensor: Any, src: int, group: Any = None, async_op: bool = False):
    """``tensor`` of ``src`` goes to all."""
    return None if _alone(group) else dist.broadcast(tensor, src, group, not async_op)


def all_gather(tensor_list: list, tensor: Any, group: Any = None, async_op: bool = False) -> None:
    """Fill ``tensor_list`` with the tensors of all."""
    found = [tensor]
    if not _alone(group):
        found = []
        dist.all_gather(found, tensor, group, not async_op)
    for target, value in zip(tensor_list, found, strict=True):
        copy_into(target, value)


def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    """Fill ``object_list`` with the objects of all."""
    found = [obj]
    if not _alone(group):
        found = []
        dist.all_gather_object(found, obj, group)
    object_list[:] = found


def broadcast_object_list(object_list: list, src: int = 0, group: Any = None, **_: Any) -> None:
    """The objects of ``src`` go to all."""
    if not _alone(group):
        dist.broadcast_object_list(object_list, src, group)
