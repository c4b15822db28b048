"""What a tensor tells of itself, and how it goes to other dtypes, devices and numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import DeviceError, MissingFeatureError
from hfpaddle.torch._create import TYPED, Size, meta_tensor, tensor
from hfpaddle.torch._device import device, device_of, is_meta, place_of
from hfpaddle.torch._dtypes import BY_NAME, HALVES, NAMES, as_dtype, category
from hfpaddle.torch._half import lifted
from hfpaddle.torch._promote import title
from hfpaddle.torch._switch import added, by_caller, property_by_caller

Tensor = paddle.Tensor
_TYPE_NAMES = {BY_NAME[kind]: name for name, kind in TYPED.items()}


class AcceleratorError(DeviceError, AssertionError):
    """A CUDA device was asked for and this Paddle build has none."""


def _is_device(value: Any) -> bool:
    if isinstance(value, str):
        return value.removeprefix("torch.") not in BY_NAME
    return isinstance(value, (device, int)) or hasattr(value, "is_cpu_place")


def to(self: Tensor, *args, dtype=None, device=None, non_blocking=False, copy=False,
       memory_format=None) -> Tensor:  # fmt: skip
    """To a dtype, a device, both, or those of another tensor. The tensor itself if nothing changes.

    Raises: DeviceError for a device that is not there.
    """
    positional = list(args)
    if positional and isinstance(positional[0], Tensor):
        other = positional.pop(0)
        dtype, device = other.dtype, other.place
    elif positional and (positional[0] is None or _is_device(positional[0])):
        device = positional.pop(0) if positional[0] is not None else device
        positional = positional or [None]
    if positional and not isinstance(positional[0], bool):
        dtype = positional.pop(0) or dtype
    if len(positional) > 1:
        copy = positional[1]
    return moved(self, as_dtype(dtype), device, copy)


def moved(x: Tensor, dtype: Any, spec: Any, copy: bool = False) -> Tensor:
    """``x`` in a dtype (or None) on a device (or None)."""
    if spec is not None and is_meta(spec):
        return meta_tensor(list(x.shape), dtype or x.dtype)
    if getattr(x, "_is_meta", False) and spec is not None:
        raise MissingFeatureError(
            "Cannot copy out of meta tensor; no data! Use module.to_empty(), or load weights."
        )
    result = x if dtype is None or dtype is x.dtype else paddle.cast(x, dtype)
    if spec is not None:
        place = place_of(spec)
        if str(place) != str(result.place):
            result = result._copy_to(place, True) if result.stop_gradient else result.to(place)
    return result.clone() if copy and result is x else result


def cuda(self: Tensor, device=None, non_blocking=False, memory_format=None) -> Tensor:
    """To a GPU. Raises: AcceleratorError where Paddle has none."""
    if not paddle.is_compiled_with_cuda() or not paddle.device.cuda.device_count():
        raise AcceleratorError(
            "Tensor.cuda(): this Paddle build has no CUDA device. Use .to(device) with a device "
            "that is there."
        )
    return moved(self, None, "cuda" if device is None else device)


def cpu(self: Tensor, memory_format=None) -> Tensor:
    """On the CPU."""
    return self if self.place.is_cpu_place() else moved(self, None, "cpu")


def pin_memory(self: Tensor, device=None) -> Tensor:
    """In page-locked memory. Raises: RuntimeError where there is no accelerator to pin for."""
    if not paddle.is_compiled_with_cuda():
        raise DeviceError("Cannot access accelerator device when none is available.")
    return self.pin_memory()


def is_pinned(self: Tensor, device=None) -> bool:
    """Whether it lies in page-locked memory."""
    return self.place.is_cuda_pinned_place()


def _caster(name: str):
    kind = BY_NAME[name]

    def cast(self: Tensor, memory_format=None) -> Tensor:
        return self if self.dtype is kind else paddle.cast(self, kind)

    cast.__doc__ = f"As {name}; the tensor itself if it is."
    return cast


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The old name of the dtype ("torch.LongTensor"), or the tensor as another dtype."""
    if dtype is None:
        where = device_of(self).type
        middle = "" if where in ("cpu", "meta") else f"{where}."
        return f"torch.{middle}{_TYPE_NAMES.get(self.dtype, title(self.dtype) + 'Tensor')}"
    if isinstance(dtype, str) and dtype.endswith("Tensor"):
        dtype = TYPED[dtype.rpartition(".")[2]]
    elif isinstance(dtype, type) and hasattr(dtype, "dtype"):
        dtype = dtype.dtype
    return moved(self, as_dtype(dtype), None)


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The values on the tensor's own memory (CPU).

    Raises: RuntimeError if it requires grad; TypeError for bfloat16 or another device. ``force``
    detaches and copies to the CPU.
    """
    if force:
        return numpy(cpu(self.detach()))
    if not self.stop_gradient:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    if not self.place.is_cpu_place():
        raise TypeError(
            f"can't convert {device_of(self)} device type tensor to numpy. Use Tensor.cpu() to "
            f"copy the tensor to host memory first."
        )
    name = NAMES[self.dtype]
    if name == "bfloat16" or name.startswith("float8"):
        raise TypeError(f"Got unsupported ScalarType {title(self.dtype)}")
    if 0 in self.shape or not self.ndim:  # DLPack hands out no views of these
        return np.array(self.numpy())
    return np.from_dlpack(self.detach())


def __array__(self: Tensor, dtype=None, copy=None) -> np.ndarray:
    array = numpy(self)
    return array if dtype is None else array.astype(dtype, copy=False)


def item(self: Tensor) -> Any:
    """The only value, as a Python number."""
    if self._numel() != 1:
        raise RuntimeError(f"a Tensor with {self._numel()} elements cannot be converted to Scalar")
    if getattr(self, "_is_meta", False):
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")
    return self.item()


def __float__(self: Tensor) -> float:
    return float(item(self))


def __int__(self: Tensor) -> int:
    return int(item(self))


def __complex__(self: Tensor) -> complex:
    return complex(item(self))


def __bool__(self: Tensor) -> bool:
    if self._numel() > 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(item(self)) if self._numel() else False


def __index__(self: Tensor) -> int:
    if self._numel() != 1 or category(self.dtype) > 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(self.item())


def tolist(self: Tensor) -> Any:
    """The values in nested lists, or one Python number."""
    x = paddle.cast(self, "float32") if self.dtype in HALVES else self
    return x.tolist() if x.ndim else x.item()


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dimension."""
    return Size(self.shape) if dim is None else self.shape[dim]


def stride(self: Tensor, dim: int | None = None) -> Any:
    """Steps between neighbours, in items."""
    strides = tuple(self.strides)
    return strides if dim is None else strides[dim]


def storage_offset(self: Tensor) -> int:
    """Items before the first one in its memory."""
    return self.offset // self.element_size()


class UntypedStorage:
    """The memory under a tensor: its size and its address."""

    def __init__(self, tensor: Tensor):
        self._tensor = tensor

    def nbytes(self) -> int:
        """Bytes of it."""
        return self._tensor._holder_size()

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """Address of its first byte."""
        return self._tensor.data_ptr() - self._tensor.offset

    @property
    def device(self) -> device:
        """Where it lies."""
        return device_of(self._tensor)

    def __eq__(self, other) -> bool:
        return isinstance(other, UntypedStorage) and self.data_ptr() == other.data_ptr()

    def __hash__(self) -> int:
        return hash(self.data_ptr())


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory under the tensor."""
    return UntypedStorage(self)


def is_floating_point(input: Tensor) -> bool:
    """Whether the items are floating."""
    return category(input.dtype) == 2


def is_complex(input: Tensor) -> bool:
    """Whether the items are complex."""
    return category(input.dtype) == 3


def is_nonzero(input: Tensor) -> bool:
    """Whether the only item is not zero."""
    return bool(item(input))


def get_device(self: Tensor) -> int:
    """Index of the accelerator, -1 for the CPU."""
    index = device_of(self).index
    return -1 if self.place.is_cpu_place() else index or 0


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """In the dtype and on the device of ``other``."""
    return moved(self, other.dtype, other.place)


def set_data(self: Tensor, value: Tensor) -> None:
    """Take the memory, shape and dtype of ``value``; autograd notices nothing."""
    stop = self.stop_gradient
    self.data = value.detach()
    self.stop_gradient = stop


def __setitem__(self: Tensor, index: Any, value: Any) -> None:
    check_writable_leaf(self)
    if isinstance(value, Tensor) and value.dtype is not self.dtype:
        value = paddle.cast(value, self.dtype)
    elif isinstance(value, np.generic):
        value = value.item()
    index = as_index(index, self.shape)
    if isinstance(index, tuple) and any(_chooses_nothing(part) for part in index):
        return  # Paddle's kernel fails on an empty choice beside other indices
    if isinstance(index, tuple) and len(index) > 1:
        index = _without_masks(index, self.shape)
    if isinstance(index, tuple) and any(part is None for part in index):
        recording = paddle.is_grad_enabled() and not (
            self.stop_gradient and (not isinstance(value, Tensor) or value.stop_gradient)
        )
        if not recording:  # a view with the new axes: Paddle's own way aborts with index tensors
            axes, parts = _new_axes(self, index)
            return _set(paddle.unsqueeze(self, axes), parts, value)
        if any(isinstance(part, Tensor) for part in index):
            raise MissingFeatureError(
                "x[..., None, index] = value while gradients are recorded has no implementation "
                "here. Leave None out of the index, and reshape the value."
            )
    _set(self, index, value)


def _without_masks(index: tuple, shape: Any) -> tuple:
    """Masks beside other indices as the indices where they are True.

    Paddle writes to other places than the mask's when two slices precede it.
    """
    if not any(isinstance(part, Tensor) and part.dtype is paddle.bool for part in index):
        return index
    taken, dim, parts = sum(_width(part) for part in index), 0, []
    for part in index:
        if isinstance(part, Tensor) and part.dtype is paddle.bool and part.ndim:
            here = list(shape[dim : dim + part.ndim])
            if here != list(part.shape):
                raise IndexError(
                    f"The shape of the mask {list(part.shape)} at index {dim} does not match the "
                    f"shape of the indexed tensor {list(shape)} at index {dim}"
                )
            parts += [paddle.squeeze(found, -1) if found.ndim > 1 else found
                      for found in paddle.nonzero(part, as_tuple=True)]  # fmt: skip
        else:
            parts.append(part)
        dim += len(shape) - taken if part is Ellipsis else _width(part)
    return tuple(parts)


def _chooses_nothing(part: Any) -> bool:
    if not isinstance(part, Tensor) or part.dtype is not paddle.bool:
        return False
    return part.place.is_cpu_place() and not bool(part.any())


def check_writable_leaf(self: Tensor) -> None:
    """Refuse to write into a leaf whose gradient is recorded."""
    if not self.stop_gradient and self.is_leaf and paddle.is_grad_enabled():
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation."
        )


def as_index(index: Any, shape: Any = None) -> Any:
    """An index in the terms that Paddle knows.

    Raises: ValueError for a negative step; IndexError for an index beyond ``shape`` (Paddle's
        kernel would read whatever lies there).
    """
    if isinstance(index, list) and len(index) < 32 and any(_is_part(part) for part in index):
        index = tuple(index)  # as torch, and numpy of old, read a list of lists
    parts = index if isinstance(index, tuple) else (index,)
    taken = [_as_part(part) for part in parts]
    if shape is not None and any(isinstance(part, Tensor) for part in taken):
        _check_bounds(taken, shape)
    return tuple(taken) if isinstance(index, tuple) else taken[0]


def _is_part(part: Any) -> bool:
    return part is None or part is Ellipsis or isinstance(part, (list, tuple, slice, Tensor))


def _as_part(index: Any) -> Any:
    if isinstance(index, slice):
        if index.step is not None and not isinstance(index.step, Tensor) and index.step < 1:
            raise ValueError("step must be greater than zero")
        return index
    if isinstance(index, (range, list, tuple, np.ndarray)):
        made = tensor(list(index) if isinstance(index, range) else index)
        # An empty list is floating; as an index it is none of the items.
        return paddle.cast(made, "int64") if not made.size else made
    if isinstance(index, np.generic):
        return index.item()
    if isinstance(index, Tensor) and category(index.dtype) > 1:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if isinstance(index, Tensor) and index.dtype is paddle.uint8:
        return paddle.cast(index, "bool")  # a mask, as torch has it from its early days
    return index


def _check_bounds(parts: list, shape: Any) -> None:
    taken = sum(_width(part) for part in parts)
    dim = 0
    for part in parts:
        if part is Ellipsis:
            dim += len(shape) - taken
        elif isinstance(part, Tensor) and category(part.dtype) == 1 and dim < len(shape):
            if part.place.is_cpu_place() and part.size:
                low, high = int(paddle.min(part)), int(paddle.max(part))
                if low < -shape[dim] or high >= shape[dim]:
                    wrong = low if low < -shape[dim] else high
                    raise IndexError(
                        f"index {wrong} is out of bounds for dimension {dim} with size {shape[dim]}"
                    )
        dim += _width(part)


def _width(part: Any) -> int:
    """Dimensions of the indexed tensor that one part of an index speaks of."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    masks = isinstance(part, Tensor) and part.dtype is paddle.bool
    return part.ndim if masks else 1


def __getitem__(self: Tensor, index: Any) -> Tensor:
    if type(index) is int:
        return _original_getitem(self, index)
    index = as_index(index, self.shape)
    if isinstance(index, tuple) and None in [p for p in index if not isinstance(p, Tensor)]:
        return _with_new_axes(self, index)
    return _original_getitem(self, index)


def _new_axes(self: Tensor, index: tuple) -> tuple[list[int], tuple]:
    """Where an index puts new axes, and the index of a tensor that has them."""
    taken, at, axes = sum(_width(part) for part in index), 0, []
    for part in index:
        if part is None:
            axes.append(at)
        at += self.ndim - taken if part is Ellipsis else 1 if part is None else _width(part)
    return axes, tuple(slice(None) if part is None else part for part in index)


def _with_new_axes(self: Tensor, index: tuple) -> Tensor:
    """Paddle puts a new axis elsewhere where an int follows: make the axes first, then index."""
    axes, parts = _new_axes(self, index)
    whole = all(p is Ellipsis or (isinstance(p, slice) and p == slice(None)) for p in parts)
    wider = paddle.unsqueeze(self, axes)
    return wider if whole else _original_getitem(wider, parts)


_original_getitem, _original_setitem = Tensor.__getitem__, Tensor.__setitem__
_set = lifted(_original_setitem)
by_caller(Tensor, "__getitem__", __getitem__, "ranges and numpy indices; negative steps refused")
by_caller(Tensor, "__setitem__", __setitem__, "casts the value; refuses leaves that require grad")

_METHODS = (to, cuda, cpu, pin_memory, is_pinned, numpy, item, tolist, size, stride,
            storage_offset, untyped_storage, is_floating_point, is_complex, is_nonzero, get_device,
            type_as, __array__, __float__, __int__, __complex__, __bool__, __index__)  # fmt: skip
for _function in _METHODS:
    by_caller(Tensor, _function.__name__, _function, "torch's arguments and results")
_CASTS = {"float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16",
          "long": "int64", "int": "int32", "short": "int16", "char": "int8", "byte": "uint8",
          "bool": "bool", "cfloat": "complex64", "cdouble": "complex128"}  # fmt: skip
for _name, _kind in _CASTS.items():
    by_caller(Tensor, _name, _caster(_kind), "the tensor itself if it has the dtype")
property_by_caller(
    Tensor, "type", lambda self: partial(type_, self), note="a method, where Paddle has a property"
)
property_by_caller(
    Tensor, "data", lambda self: self.detach(), set_data, note="detached, on the same memory"
)
added(Tensor, "is_meta", property(lambda self: getattr(self, "_is_meta", False)))
added(Tensor, "is_cpu", property(lambda self: self.place.is_cpu_place()))
added(Tensor, "is_xpu", property(lambda self: self.place.is_xpu_place()))
added(Tensor, "is_mps", property(lambda self: False))
added(Tensor, "is_quantized", property(lambda self: False))
added(Tensor, "nbytes", property(lambda self: self._numel() * self.element_size()))
added(Tensor, "H", property(lambda self: self.conj().t()))
added(Tensor, "names", property(lambda self: (None,) * self.ndim))


def share_memory_(self: Tensor) -> Tensor:
    """Nothing to do: loader workers get copies."""
    return self


added(Tensor, "share_memory_", share_memory_)
added(Tensor, "is_shared", lambda self: False)
added(Tensor, "resolve_conj", lambda self: self)
added(Tensor, "resolve_neg", lambda self: self)
added(Tensor, "is_inference", lambda self: False)
added(Tensor, "ndimension", lambda self: self.ndim)
added(Tensor, "is_set_to", lambda self, other: untyped_storage(self) == untyped_storage(other))


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is a storage."""
    return isinstance(obj, UntypedStorage)


def typename(obj: Any) -> str:
    """The type's name with its module."""
    if isinstance(obj, Tensor):
        return type_(obj)
    kind = obj if isinstance(obj, type) else type(obj)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


__all__ = [
    "UntypedStorage", "is_complex", "is_floating_point", "is_nonzero", "is_storage", "is_tensor",
    "typename",
]  # fmt: skip
