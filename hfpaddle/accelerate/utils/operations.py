"""Mirror of ``accelerate.utils.operations``: the same thing done to every tensor of a batch.

Operations between processes return their input: there is one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import paddle

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.dataclasses import TensorInformation
from hfpaddle.core.errors import UnsupportedArgumentError


def is_torch_tensor(tensor: Any) -> bool:
    return isinstance(tensor, paddle.Tensor)


def is_namedtuple(data: Any) -> bool:
    return isinstance(data, tuple) and hasattr(data, "_asdict") and hasattr(data, "_fields")


def honor_type(obj: Any, generator: Iterable) -> Any:
    """Return the items of ``generator`` in a container of the type of ``obj``."""
    return type(obj)(*generator) if is_namedtuple(obj) else type(obj)(generator)


def recursively_apply(
    func: Callable,
    data: Any,
    *args: Any,
    test_type: Callable[[Any], bool] = is_torch_tensor,
    error_on_other_type: bool = False,
    **kwargs: Any,
) -> Any:
    """Apply ``func`` to each part of nested lists, tuples and dictionaries that passes the test.

    Raises: TypeError for other parts, with ``error_on_other_type``.
    """

    def inner(part: Any) -> Any:
        options = {"test_type": test_type, "error_on_other_type": error_on_other_type}
        return recursively_apply(func, part, *args, **options, **kwargs)

    if isinstance(data, (tuple, list)):
        return honor_type(data, (inner(part) for part in data))
    if isinstance(data, Mapping):
        return type(data)({k: inner(v) for k, v in data.items()})  # pyright: ignore
    if test_type(data):
        return func(data, *args, **kwargs)
    if error_on_other_type:
        raise TypeError(
            f"Unsupported types ({type(data)}) passed to `{func.__name__}`. Only nested "
            f"list/tuple/dicts of objects that are valid for `{test_type.__name__}` should be "
            "passed."
        )
    return data


def send_to_device(
    tensor: Any, device: Any, non_blocking: bool = False, skip_keys: str | list[str] | None = None
) -> Any:
    """Move every tensor, and everything with a method ``to``, to ``device``."""
    if isinstance(tensor, (tuple, list)):
        moved = (send_to_device(t, device, non_blocking, skip_keys) for t in tensor)
        return honor_type(tensor, moved)
    if is_torch_tensor(tensor):
        from hfpaddle.torch._device import place_of

        # Called from this package, ``Tensor.to`` is Paddle's own: it takes a place.
        return tensor.to(place_of(device))
    if hasattr(tensor, "to"):
        try:
            return tensor.to(device, non_blocking=non_blocking)
        except TypeError:
            return tensor.to(device)
    if isinstance(tensor, Mapping):
        skipped = [skip_keys] if isinstance(skip_keys, str) else skip_keys or []
        items = {
            k: t if k in skipped else send_to_device(t, device, non_blocking, skipped)
            for k, t in tensor.items()
        }
        return type(tensor)(items)  # pyright: ignore
    return tensor


def find_batch_size(data: Any) -> int:
    """Return the first dimension of the first tensor.

    Raises: ValueError for empty containers, TypeError for anything but tensors.
    """
    if isinstance(data, (tuple, list, Mapping)):
        if len(data) == 0:
            raise ValueError(f"Cannot find the batch size from empty {type(data)}.")
        return find_batch_size(next(iter(data.values() if isinstance(data, Mapping) else data)))
    if not is_torch_tensor(data):
        raise TypeError(f"Can only find the batch size of tensors but got {type(data)}.")
    return data.shape[0]


def ignorant_find_batch_size(data: Any) -> int | None:
    """As :func:`find_batch_size`, None where there is none."""
    try:
        return find_batch_size(data)
    except (ValueError, TypeError):
        return None


def slice_tensors(
    data: Any, tensor_slice: slice, process_index: Any = None, num_processes: Any = None
) -> Any:
    """Take ``tensor_slice`` of every tensor."""
    return recursively_apply(lambda tensor: tensor[tensor_slice], data)


def concatenate(data: Any, dim: int = 0) -> Any:
    """Join the tensors of several nested values of one form.

    Raises: TypeError where parts are no tensors.
    """
    first = data[0]
    if isinstance(first, (tuple, list)):
        parts = (concatenate([d[i] for d in data], dim=dim) for i in range(len(first)))
        return honor_type(first, parts)
    if isinstance(first, Mapping):
        joined = {k: concatenate([d[k] for d in data], dim=dim) for k in first}
        return type(first)(joined)  # pyright: ignore
    if is_torch_tensor(first):
        return paddle.concat(list(data), axis=dim)
    if isinstance(data, (tuple, list)) and len(data) == 1:
        return first
    raise TypeError(f"Can only concatenate tensors but got {type(first)}")


def gather(tensor: Any) -> Any:
    """The tensors of all processes, joined: the input."""
    return tensor


def gather_object(object: Any) -> Any:
    """The lists of all processes, joined: the input."""
    return object


def broadcast(tensor: Any, from_process: int = 0) -> Any:
    return tensor


def broadcast_object_list(object_list: list[Any], from_process: int = 0) -> list[Any]:
    return object_list


def pad_across_processes(
    tensor: Any, dim: int = 0, pad_index: int = 0, pad_first: bool = False
) -> Any:
    """Pad to the longest of all processes: the input.

    Raises: TypeError for parts that are no tensors.
    """

    def same(part: Any) -> Any:
        return part

    return recursively_apply(same, tensor, error_on_other_type=True)


def pad_input_tensors(tensor: Any, batch_size: int, num_processes: int, dim: int = 0) -> Any:
    """Pad a batch so that ``num_processes`` divide it; one does.

    Raises: UnsupportedArgumentError for more processes.
    """
    if num_processes > 1:
        raise UnsupportedArgumentError(f"num_processes={num_processes} (limit: 1).")
    return tensor


def reduce(tensor: Any, reduction: str = "mean", scale: float = 1.0) -> Any:
    """Reduce over processes: the input. ``scale`` counts only where there are several, as upstream.

    Raises: TypeError for parts that are no tensors.
    """

    def same(part: Any) -> Any:
        return part

    return recursively_apply(same, tensor, error_on_other_type=True)


def listify(data: Any) -> Any:
    """Return nested tensors as nested lists and numbers."""

    def plain(tensor: Any) -> Any:
        return tensor.detach().astype("float32").tolist() if _half(tensor) else tensor.tolist()

    return recursively_apply(plain, data)


def _half(tensor: paddle.Tensor) -> bool:
    return tensor.dtype in (paddle.bfloat16, paddle.float16)


def convert_to_fp32(tensor: Any) -> Any:
    """Cast float16 and bfloat16 tensors to float32."""
    return recursively_apply(
        lambda part: part.astype("float32"),
        tensor,
        test_type=lambda part: is_torch_tensor(part) and _half(part),
    )


def is_tensor_information(tensor_info: Any) -> bool:
    return isinstance(tensor_info, TensorInformation)


def get_data_structure(data: Any) -> Any:
    """Return ``data`` with shape and dtype in place of each tensor."""
    return recursively_apply(
        lambda tensor: TensorInformation(shape=tensor.shape, dtype=tensor.dtype), data
    )


def initialize_tensors(data_structure: Any) -> Any:
    """Return ``data_structure`` with a tensor of any values in place of each description."""
    return recursively_apply(
        lambda info: paddle.empty(list(info.shape), dtype=info.dtype),
        data_structure,
        test_type=is_tensor_information,
    )


def find_device(data: Any) -> Any:
    """Return the device of the first tensor, or None."""
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, (tuple, list)):
        return next((d for d in map(find_device, data) if d is not None), None)
    return data.device if is_torch_tensor(data) else None


__getattr__ = fallback(__name__)
