"""Batches out of samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np
import paddle

from hfpaddle.torch._create import as_tensor
from hfpaddle.torch._dtypes import NAMES

Tensor = paddle.Tensor

_WRONG = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def _rebuilt(template: Any, values: dict) -> Any:
    """A mapping like ``template`` that holds ``values``."""
    try:
        if isinstance(template, MutableMapping):
            made = copy.copy(template)
            made.update(values)
            return made
        return type(template)(values)
    except TypeError:
        return values


def _listed(template: Any, values: list) -> Any:
    """A sequence like ``template`` that holds ``values``."""
    try:
        if isinstance(template, MutableSequence):
            made = copy.copy(template)
            for i, value in enumerate(values):
                made[i] = value
            return made
        return type(template)(values)
    except TypeError:
        return values


def default_convert(data: Any) -> Any:
    """numpy arrays and numbers of numpy become tensors, within dicts and sequences too."""
    kind = type(data)
    if isinstance(data, Tensor) or isinstance(data, (str, bytes)):
        return data
    if kind.__module__ == "numpy":
        return as_tensor(data) if np.asarray(data).dtype.kind in "biufc" else data
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return kind(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence):
        return _listed(data, [default_convert(item) for item in data])
    return data


def collate_tensor_fn(batch: Sequence[Tensor], *, collate_fn_map: Any = None) -> Tensor:
    """Stack."""
    first = batch[0]
    shapes = {tuple(item.shape) for item in batch}
    if len(shapes) > 1:
        one, other = list(shapes)[:2]
        raise RuntimeError(
            f"stack expects each tensor to be equal size, but got {list(one)} at one entry and "
            f"{list(other)} at another"
        )
    plain = NAMES[first.dtype] != "bfloat16" and all(
        item.stop_gradient and item.place.is_cpu_place() for item in batch
    )
    if plain:  # numpy: no kernel runs in a worker process
        return paddle.to_tensor(
            np.stack([np.asarray(item.detach()) for item in batch]), place=paddle.CPUPlace()
        )
    return paddle.stack(list(batch))


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    """Stack arrays."""
    if batch[0].dtype.kind not in "biufc":
        raise TypeError(_WRONG.format(batch[0].dtype))
    return collate_tensor_fn([as_tensor(item) for item in batch])


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    """A vector of numpy's numbers."""
    return as_tensor(np.stack([np.asarray(item) for item in batch]))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: Any = None) -> Tensor:
    """A float64 vector."""
    return paddle.to_tensor(np.asarray(batch, dtype="float64"), place=paddle.CPUPlace())


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: Any = None) -> Tensor:
    """An int64 (or bool) vector."""
    kind = "bool" if all(isinstance(item, bool) for item in batch) else "int64"
    return paddle.to_tensor(np.asarray(batch, dtype=kind), place=paddle.CPUPlace())


def collate_str_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """Text stays a list."""
    return batch


default_collate_fn_map: dict[Any, Callable] = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def collate(batch: Any, *, collate_fn_map: dict[Any, Callable] | None = None) -> Any:
    """Join samples by the functions of ``collate_fn_map``, through dicts and sequences.

    Raises: TypeError for samples of another type, RuntimeError for sequences of unequal length.
    """
    first, known = batch[0], collate_fn_map or {}
    if type(first) in known:
        return known[type(first)](batch, collate_fn_map=known)
    for kind, function in known.items():
        if isinstance(first, kind):
            return function(batch, collate_fn_map=known)

    def join(samples: Any) -> Any:
        return collate(samples, collate_fn_map=known)

    if isinstance(first, Mapping):
        return _rebuilt(first, {key: join([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(join(samples) for samples in zip(*batch, strict=False)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [join(samples) for samples in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _listed(first, columns)
    raise TypeError(_WRONG.format(type(first)))


def default_collate(batch: Any) -> Any:
    """Stack tensors and arrays, make vectors of numbers, go into dicts and sequences."""
    return collate(batch, collate_fn_map=default_collate_fn_map)
