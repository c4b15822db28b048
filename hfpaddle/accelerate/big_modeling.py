"""Mirror of ``accelerate.big_modeling``, on one device."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paddle

from hfpaddle.accelerate.hooks import CpuOffload, UserCpuOffloadHook, add_hook_to_module
from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.modeling import load_state_dict
from hfpaddle.backends import resolve_device_map
from hfpaddle.core.errors import MissingFileError, UnsupportedArgumentError, WeightMismatchError
from hfpaddle.core.logging import warn_once


@contextlib.contextmanager
def init_empty_weights(include_buffers: bool | None = None) -> Iterator[None]:
    """Build models as usual: Paddle has no meta device, so the weights are real.

    What follows it (loading a checkpoint over them) gives the same model; only the memory that it
    saves under torch is not saved.
    """
    warn_once("init_empty_weights: Paddle has no meta device; weights take their memory at once.")
    yield


@contextlib.contextmanager
def init_on_device(device: Any, include_buffers: bool | None = None) -> Iterator[None]:
    """Build models on ``device``."""
    before = paddle.device.get_device()
    paddle.device.set_device(resolve_device_map(device))
    try:
        yield
    finally:
        paddle.device.set_device(before)


def _files(checkpoint: str | os.PathLike) -> list[Path]:
    """The files of a checkpoint: itself, those that its index names, or the weights of a folder."""
    path = Path(checkpoint)
    if path.is_dir():
        for pattern in ("*.index.json", "*.safetensors", "*.bin"):
            found = sorted(path.glob(pattern))
            if found:
                return _files(found[0]) if pattern == "*.index.json" else found
    elif path.is_file() and path.suffix == ".json":
        names = json.loads(path.read_text(encoding="utf-8")).get("weight_map", {}).values()
        return [path.parent / name for name in sorted(set(names))]
    elif path.is_file() and path.suffix in (".safetensors", ".bin", ".pt", ".pth"):
        return [path]
    raise MissingFileError(
        f"{checkpoint} is no file of weights (.safetensors, .bin, .index.json) and no folder that "
        "holds one."
    )


def load_checkpoint_in_model(
    model: Any,
    checkpoint: str | os.PathLike,
    device_map: Any = None,
    offload_folder: Any = None,
    dtype: Any = None,
    offload_state_dict: bool = False,
    offload_buffers: bool = False,
    keep_in_fp32_modules: Any = None,
    offload_8bit_bnb: bool = False,
    strict: bool = False,
    full_state_dict: bool = True,
    broadcast_from_rank0: bool = False,
) -> None:
    """Copy the tensors of safetensors files, or of torch's, into ``model``, in place.

    Raises: WeightMismatchError for shapes that differ, and with ``strict`` for names that do;
        UnsupportedArgumentError for offloading.
    """
    if offload_folder is not None or offload_state_dict or offload_8bit_bnb:
        raise UnsupportedArgumentError("Offloading to disk is not implemented. Leave it out.")
    own, seen = model.state_dict(), set()
    with paddle.no_grad():
        for file in _files(checkpoint):
            for name, value in load_state_dict(file).items():
                seen.add(name)
                if name not in own:
                    continue
                if tuple(own[name].shape) != tuple(value.shape):
                    raise WeightMismatchError(
                        f"{file}: {name} is {tuple(value.shape)}, the model's is "
                        f"{tuple(own[name].shape)}."
                    )
                paddle.assign(value.astype(own[name].dtype), own[name])
    missing = [name for name in own if name not in seen]
    unexpected = sorted(seen - set(own))
    if strict and (missing or unexpected):
        raise WeightMismatchError(
            f"{checkpoint} does not fit the model: missing {missing[:3]}, unexpected "
            f"{unexpected[:3]}. Pass strict=False to load what fits."
        )
    if dtype is not None:
        model.to(dtype=dtype)


def dispatch_model(model: Any, device_map: Any, *args: Any, **kwargs: Any) -> Any:
    """Move ``model`` to the one device of ``device_map``.

    Raises: as ``resolve_device_map``, for a map of several devices.
    """
    model.to(resolve_device_map(device_map))
    return model


def cpu_offload(
    model: Any,
    execution_device: Any = None,
    offload_buffers: bool = False,
    state_dict: Any = None,
    preload_module_classes: Any = None,
) -> Any:
    """Return ``model``, which computes on the CPU where its weights are.

    Raises: UnsupportedArgumentError for another device to compute on.
    """
    device = resolve_device_map(execution_device) if execution_device is not None else None
    if (device or str(next(iter(model.parameters())).place)).lower().find("cpu") < 0:
        raise UnsupportedArgumentError(
            f"cpu_offload(execution_device={execution_device!r}) is not implemented: weights do "
            "not move layer by layer. Use cpu_offload_with_hook, which moves whole models."
        )
    return model


def cpu_offload_with_hook(
    model: Any, execution_device: Any = None, prev_module_hook: UserCpuOffloadHook | None = None
) -> tuple[Any, UserCpuOffloadHook]:
    """Keep ``model`` on the CPU until it is called; return it and the hook that sends it back."""
    hook = CpuOffload(execution_device=execution_device, prev_module_hook=prev_module_hook)
    add_hook_to_module(model, hook, append=True)
    return model, UserCpuOffloadHook(model, hook)


def load_checkpoint_and_dispatch(
    model: Any,
    checkpoint: str | os.PathLike,
    device_map: Any = None,
    max_memory: Any = None,
    no_split_module_classes: Any = None,
    offload_folder: Any = None,
    offload_buffers: bool = False,
    dtype: Any = None,
    offload_state_dict: bool | None = None,
    skip_keys: Any = None,
    preload_module_classes: Any = None,
    force_hooks: bool = False,
    strict: bool = False,
    full_state_dict: bool = True,
    broadcast_from_rank0: bool = False,
) -> Any:
    """Load a checkpoint into ``model`` and move it to the device. Errors as the two steps'."""
    load_checkpoint_in_model(
        model, checkpoint, dtype=dtype, strict=strict, offload_folder=offload_folder,
        offload_state_dict=bool(offload_state_dict),
    )  # fmt: skip
    return model if device_map is None else dispatch_model(model, device_map)


__getattr__ = fallback(__name__)
