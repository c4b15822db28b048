"""Mirror of ``accelerate.utils.modeling``: sizes, names and ties of a model's tensors."""

from __future__ import annotations

import os
import re
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import paddle

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.dataclasses import CustomDtype
from hfpaddle.core.errors import MissingFeatureError, UnsupportedArgumentError

__getattr__ = fallback(__name__)

_UNITS = {
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9,
}  # fmt: skip
_SUB_BYTE = {CustomDtype.INT2: 1 / 4, CustomDtype.INT4: 1 / 2, CustomDtype.FP8: 1}


def convert_file_size_to_int(size: int | str) -> int:
    """Return a number of bytes: ``"1GiB"`` is 2**30, ``"1GB"`` 10**9, ``"1Gb"`` an eighth of it.

    Raises: ValueError for other texts and negative sizes.
    """
    if isinstance(size, int):
        found: int | None = size
    else:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]I?B)", size, re.IGNORECASE)
        found = int(float(match[1]) * _UNITS[match[2].upper()]) if match else None
        if found is not None and size.endswith("b") and not size.upper().endswith("IB"):
            found //= 8
    if found is None or found < 0:
        raise ValueError(
            f"`size` {size} is not in a valid format. Use an integer for bytes, or a string with "
            "an unit (like '5.0GB')."
        )
    return found


def _dtype(dtype: Any) -> Any:
    from hfpaddle import torch

    return getattr(torch, dtype.replace("torch.", "")) if isinstance(dtype, str) else dtype


def dtype_byte_size(dtype: Any) -> float:
    """Return the bytes of one element; 1/8 for bool, as upstream."""
    if isinstance(dtype, CustomDtype):
        return _SUB_BYTE[dtype]
    if dtype in (paddle.bool, "bool"):
        return 1 / 8
    found = re.search(r"[^\d](\d+)", str(dtype))
    if found is None:
        raise ValueError(f"`dtype` is not a valid dtype: {dtype}.")
    return int(found[1]) // 8


def named_module_tensors(
    module: Any,
    include_buffers: bool = True,
    recurse: bool = False,
    remove_non_persistent: bool = False,
) -> Iterator[tuple[str, paddle.Tensor]]:
    """Yield the name and value of each parameter, then of each buffer."""
    yield from module.named_parameters(include_sublayers=recurse)
    if include_buffers:
        left = get_non_persistent_buffers(module, recurse) if remove_non_persistent else set()
        for name, buffer in module.named_buffers(include_sublayers=recurse):
            if name not in left:
                yield name, buffer


def get_non_persistent_buffers(module: Any, recurse: bool = False, fqns: bool = False) -> set[str]:
    """Return the names of buffers that checkpoints leave out."""
    found = set(module._non_persistable_buffer_names_set)
    for path, inner in module.named_sublayers() if recurse else ():
        names = inner._non_persistable_buffer_names_set
        found |= {f"{path}.{name}" for name in names} if fqns else names
    return found


def find_tied_parameters(model: Any, **kwargs: Any) -> list[list[str]]:
    """Return the groups of names that share one parameter."""
    groups: dict[int, list[str]] = {}
    for path, module in model.named_sublayers(include_self=True):
        for name, parameter in module._parameters.items():
            if parameter is not None:
                groups.setdefault(id(parameter), []).append(f"{path}.{name}" if path else name)
    return [sorted(names) for names in groups.values() if len(names) > 1]


def _holder(model: Any, name: str) -> tuple[Any, str]:
    *path, last = name.split(".")
    for part in path:
        model = getattr(model, part)
    return model, last


def retie_parameters(model: Any, tied_params: list[list[str]]) -> None:
    """Give every name of a group the parameter of its first."""
    for first, *others in tied_params:
        holder, last = _holder(model, first)
        for name in others:
            other, own = _holder(model, name)
            setattr(other, own, getattr(holder, last))


def id_tensor_storage(tensor: paddle.Tensor) -> tuple[Any, int, int]:
    """Return what is equal for tensors that share memory."""
    return str(tensor.place), tensor.data_ptr(), tensor.size * tensor.element_size()


def compute_module_sizes(
    model: Any,
    dtype: Any = None,
    special_dtypes: Mapping[str, Any] | None = None,
    buffers_only: bool = False,
) -> dict[str, float]:
    """Return the bytes of each module by name, of the whole under ``""``."""
    sizes: dict[str, float] = defaultdict(int)
    special = {name: dtype_byte_size(_dtype(kind)) for name, kind in (special_dtypes or {}).items()}
    tensors = model.named_buffers() if buffers_only else named_module_tensors(model, recurse=True)
    for name, tensor in tensors:
        each = dtype_byte_size(tensor.dtype)
        if name in special:
            each = special[name]
        elif dtype is not None and tensor.is_floating_point():
            each = min(dtype_byte_size(_dtype(dtype)), each)
        parts = name.split(".")
        for end in range(len(parts) + 1):
            sizes[".".join(parts[:end])] += tensor.size * each
    return sizes


def get_max_layer_size(
    modules: list[tuple[str, Any]], module_sizes: Mapping[str, float], no_split_module_classes: Any
) -> tuple[float, list[str]]:
    """Return the size and names of the largest layers: those without children, or not to split."""
    largest, names, todo = 0.0, [], list(modules)
    while todo:
        name, module = todo.pop(0)
        inside = list(module.named_children()) if isinstance(module, paddle.nn.Layer) else []
        if inside and type(module).__name__ not in no_split_module_classes:
            todo = [(f"{name}.{inner}", child) for inner, child in inside] + todo
        elif module_sizes[name] > largest:
            largest, names = module_sizes[name], [name]
        elif module_sizes[name] == largest:
            names.append(name)
    return largest, names


def calculate_maximum_sizes(model: Any) -> tuple[float, tuple[float, list[str]]]:
    """Return the bytes of the model, and of its largest layer."""
    sizes = compute_module_sizes(model)
    parts = [*named_module_tensors(model, include_buffers=False), *model.named_children()]
    parts += model.named_buffers(include_sublayers=False)
    whole = getattr(model, "_no_split_modules", None) or []
    return sizes[""], get_max_layer_size(parts, sizes, whole)


def infer_auto_device_map(
    model: Any,
    max_memory: Mapping[Any, int | str] | None = None,
    no_split_module_classes: Any = None,
    dtype: Any = None,
    special_dtypes: Mapping[str, Any] | None = None,
    verbose: bool = False,
    clean_result: bool = True,
    offload_buffers: bool = False,
    fallback_allocation: bool = False,
) -> OrderedDict[str, Any]:
    """Return a map of the whole model to this machine's device.

    Raises: MissingFeatureError if ``max_memory`` of the device is less than the model takes.
    """
    from hfpaddle.accelerate.state import PartialState

    kind = PartialState().device.type
    device: Any = "cpu" if kind == "cpu" else 0
    need = compute_module_sizes(model, dtype, special_dtypes)[""]
    room = (max_memory or {}).get(device)
    if room is not None and convert_file_size_to_int(room) < need:
        raise MissingFeatureError(
            f"infer_auto_device_map: the model takes {need:.0f} bytes and max_memory[{device!r}] "
            f"is {room}; models are not split over devices. Give it more, or use a smaller dtype."
        )
    return OrderedDict({"": device})


def check_device_map(model: Any, device_map: Mapping[str, Any]) -> None:
    """Raises: ValueError naming the tensors that ``device_map`` leaves out."""
    known = {name for name, _ in model.named_sublayers(include_self=True)}
    unknown = [key for key in device_map if key and key not in known]
    if unknown:
        warnings.warn(
            f"The following device_map keys do not match any submodules in the model: {unknown}",
            UserWarning,
            stacklevel=2,
        )
    left = [
        name
        for name in model.state_dict()
        if not any(not key or name == key or name.startswith(f"{key}.") for key in device_map)
    ]
    if left:
        raise ValueError(
            "The device_map provided does not give any device for the following parameters: "
            f"{', '.join(left)}"
        )


def set_module_tensor_to_device(
    module: Any,
    tensor_name: str,
    device: Any,
    value: paddle.Tensor | None = None,
    dtype: Any = None,
    fp16_statistics: Any = None,
    tied_params_map: Any = None,
    non_blocking: bool = False,
    clear_cache: bool = True,
) -> None:
    """Write ``value`` into a parameter or buffer of ``module``, in its dtype.

    Raises: ValueError for an unknown name or another shape; UnsupportedArgumentError for the meta
        device, int8 statistics, and a parameter's move to another device or dtype.
    """
    holder, last = _holder(module, tensor_name)
    tensor = holder._parameters.get(last, holder._buffers.get(last))
    if tensor is None:
        raise ValueError(f"{module} does not have a parameter or a buffer named {tensor_name}.")
    from hfpaddle.torch._device import place_of

    if str(device) == "meta" or fp16_statistics is not None:
        raise UnsupportedArgumentError(
            f"set_module_tensor_to_device({tensor_name!r}, {str(device)!r}): Paddle has no meta "
            "device, and int8 statistics are not implemented."
        )
    if str(place_of(device)) != str(tensor.place) or _dtype(dtype) not in (None, tensor.dtype):
        raise UnsupportedArgumentError(
            f"set_module_tensor_to_device: {tensor_name} is {tensor.dtype} on {tensor.place}, and "
            f"stays so (asked for: {dtype}, {device}). Use model.to(...)."
        )
    if value is None:
        return
    if tuple(value.shape) != tuple(tensor.shape):
        raise ValueError(
            f'Trying to set a tensor of shape {tuple(value.shape)} in "{last}" (which has shape '
            f"{tuple(tensor.shape)}), this looks incorrect."
        )
    with paddle.no_grad():
        paddle.assign(value.astype(tensor.dtype), tensor)


def load_state_dict(checkpoint_file: str | os.PathLike, device_map: Any = None) -> dict[str, Any]:
    """Return the tensors of a safetensors file, or of what torch wrote."""
    if os.fspath(checkpoint_file).endswith(".safetensors"):
        from hfpaddle.converters.safetensors import read_safetensors

        return {name: entry.load() for name, entry in read_safetensors(checkpoint_file).items()}
    from hfpaddle import torch

    return torch.load(checkpoint_file, map_location="cpu", weights_only=True)


def is_peft_model(model: Any) -> bool:
    """Whether ``model`` is a PeftModel."""
    import sys

    peft = sys.modules.get("hfpaddle.peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def has_offloaded_params(module: Any) -> bool:
    """Whether weights wait elsewhere between forward passes: never."""
    return False
