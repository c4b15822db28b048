"""Making tensors: from data, from numpy and DLPack (sharing memory), and by size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import DeviceError
from hfpaddle.torch._device import is_meta, place_of
from hfpaddle.torch._dtypes import BY_NAME, HALVES, NAMES, as_dtype, category, get_default_dtype
from hfpaddle.torch._promote import copy_into
from hfpaddle.torch._switch import by_caller

Tensor = paddle.Tensor
PaddleSize = type(paddle.zeros([1]).shape)


class _SizeType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return type.__instancecheck__(cls, value) or isinstance(value, PaddleSize)


class Size(tuple, metaclass=_SizeType):
    """A shape: a tuple of ints. Slices and sums of it are shapes too."""

    __slots__ = ()

    def numel(self) -> int:
        """How many items a tensor of this shape has."""
        return math.prod(self)

    def __getitem__(self, index):
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __mul__(self, count):
        return Size(tuple.__mul__(self, count))

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __reduce__(self):
        return Size, (tuple(self),)


def full_size(size: Sequence[Any]) -> tuple[int, ...]:
    """``(2, 3)`` for ``f(2, 3)``, ``f((2, 3))`` and ``f([2, 3])``."""
    if len(size) == 1 and isinstance(size[0], (list, tuple)):
        size = size[0]
    return tuple(map(int, size))


def meta_tensor(shape: Sequence[int], dtype: Any) -> Tensor:
    """A tensor without memory of its own: every item is the same one, NaN where there is NaN.

    It has shape and dtype and says that it is on "meta"; reading it shows NaN.
    """
    value = math.nan if category(dtype) >= 2 else 0
    one = paddle.full([1], value, "float32").astype(dtype)
    made = paddle.as_strided(one, list(shape), [0] * len(shape)) if shape else one.reshape([])
    made._is_meta = True
    return made


def finish(value: Any, dtype: Any, spec: Any, requires_grad: bool = False) -> Tensor:
    """``value`` (array or tensor) as a tensor of ``dtype`` on the device ``spec``."""
    place = place_of(spec)
    if isinstance(value, Tensor):
        made = value if dtype is None or value.dtype is dtype else paddle.cast(value, dtype)
        if str(made.place) != str(place):
            made = made._copy_to(place, True)
    else:
        made = paddle.to_tensor(value, dtype=dtype, place=place)
    return with_grad(made, requires_grad)


def with_grad(made: Tensor, requires_grad: bool) -> Tensor:
    """Set ``requires_grad`` on a new tensor."""
    if requires_grad:
        if category(made.dtype) < 2:
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        made.stop_gradient = False
    return made


_WIDE = (paddle.float64, paddle.complex128)


def _inferred(data: Any, kind: Any = None) -> np.ndarray:
    """``data`` as an array of the dtype that torch gives it: a Python float is the default.

    With a dtype ``kind`` to come, the numbers keep all their digits.
    """
    array = np.asarray(data)
    if array.dtype == object:
        raise ValueError(
            f"too many dimensions or ragged rows: {type(data).__name__} makes no tensor"
        )
    if isinstance(data, (np.ndarray, np.generic)) or kind in _WIDE:
        return array
    if array.dtype == np.float64 and not _holds_numpy(data, np.float64):
        return array.astype(NAMES[get_default_dtype()], copy=False)
    if array.dtype == np.complex128:
        return array.astype(np.complex64)
    return array


def _holds_numpy(data: Any, kind: type) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, kind) or (isinstance(data, np.ndarray) and data.dtype == kind)


def _has_tensor(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(_has_tensor(item) for item in data[:1] + data[-1:])
    return isinstance(data, Tensor)


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.detach().astype("float32").tolist() if data.dtype in HALVES else data.tolist()
    if isinstance(data, (list, tuple)):
        return [_plain(item) for item in data]
    return data


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False) -> Tensor:
    """A new tensor with a copy of ``data``."""
    kind = as_dtype(dtype)
    if isinstance(data, Tensor):
        return finish(data.detach().clone(), kind, data.place if device is None else device,
                      requires_grad)  # fmt: skip
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(data, (list, tuple)) and _has_tensor(data):
        data = _plain(data)
    array = _inferred(data, kind)
    if (
        array.dtype.name not in BY_NAME
        or array.dtype.name.startswith("uint")
        and array.itemsize > 1
    ):
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{array.dtype}. The supported types are: "
            f"float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint8, "
            f"and bool."
        )
    if is_meta(device):
        return meta_tensor(array.shape, kind or BY_NAME[array.dtype.name])
    if kind in HALVES or kind is None or kind in (paddle.float8_e4m3fn, paddle.float8_e5m2):
        made = paddle.to_tensor(np.ascontiguousarray(array).reshape(array.shape))
        return finish(made, kind, device, requires_grad)
    return finish(array.astype(NAMES[kind]), kind, device, requires_grad)


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """A tensor of ``data``, without a copy where dtype and device allow it."""
    kind = as_dtype(dtype)
    if isinstance(data, Tensor):
        if (kind is None or kind is data.dtype) and device is None:
            return data
        return finish(data, kind, data.place if device is None else device)
    if isinstance(data, np.ndarray) and data.dtype.name in BY_NAME and data.flags.writeable:
        return finish(from_numpy(data), kind, device)
    return tensor(data, dtype=dtype, device=device)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False) -> Tensor:
    """As ``as_tensor``, with ``copy``."""
    if copy:
        return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    return with_grad(as_tensor(obj, dtype, device), requires_grad)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A CPU tensor on the memory of ``ndarray``: a change of either shows in both.

    Raises: TypeError for another type or an item type without counterpart; ValueError for
        negative strides.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    name = ndarray.dtype.name
    if name not in BY_NAME or name in ("uint16", "uint32", "uint64"):
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{name}. The supported types are: float64, "
            f"float32, float16, complex64, complex128, int64, int32, int16, int8, uint8, and bool."
        )
    if any(stride < 0 for stride in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().)"
        )
    if not ndarray.flags.writeable or not ndarray.size:  # DLPack hands out neither
        return paddle.to_tensor(ndarray, place=paddle.CPUPlace())
    return paddle.from_dlpack(ndarray)


def from_dlpack(ext_tensor) -> Tensor:
    """A tensor on the memory of any object with ``__dlpack__``."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach()
    return paddle.from_dlpack(ext_tensor)


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False) -> Tensor:
    """A tensor on the memory of ``buffer``."""
    kind = as_dtype(dtype)
    name = "uint16" if kind is paddle.bfloat16 else NAMES[kind]
    made = paddle.from_dlpack(np.frombuffer(buffer, name, count, offset)) if (
        not memoryview(buffer).readonly
    ) else paddle.to_tensor(np.frombuffer(buffer, name, count, offset))  # fmt: skip
    return with_grad(made.view(kind) if made.dtype is not kind else made, requires_grad)


def _filled(size, value, dtype, spec, requires_grad, out=None) -> Tensor:
    shape = full_size(size)
    if is_meta(spec):
        return with_grad(meta_tensor(shape, dtype), requires_grad)
    place = place_of(spec)
    if place.is_cpu_place() == paddle.framework._current_expected_place().is_cpu_place():
        made = paddle.full(list(shape), value, dtype)
    else:
        made = paddle.full(list(shape), value, dtype)._copy_to(place, True)
    if out is not None:
        return copy_into(out, made, resize=True)
    return with_grad(made, requires_grad)


def zeros(
    *size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
    names=None,
) -> Tensor:  # fmt: skip
    """Zeros of ``size``, in the default dtype."""
    size = size or (names,)
    kind = as_dtype(dtype) or get_default_dtype()
    return _filled(size, 0, kind, device, requires_grad, out)


def ones(
    *size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
) -> Tensor:
    """Ones of ``size``, in the default dtype."""
    kind = as_dtype(dtype) or get_default_dtype()
    return _filled(size, 1, kind, device, requires_grad, out)


def empty(
    *size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
    memory_format=None,
) -> Tensor:  # fmt: skip
    """Items of any value; here zeros."""
    return zeros(*size, out=out, dtype=dtype, device=device, requires_grad=requires_grad)


def full(
    size, fill_value, *, out=None, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
) -> Tensor:  # fmt: skip
    """``fill_value`` everywhere; its type decides the dtype."""
    value = fill_value.item() if isinstance(fill_value, (Tensor, np.generic)) else fill_value
    kind = as_dtype(dtype)
    if kind is None:
        kind = {bool: paddle.bool, int: paddle.int64, complex: paddle.complex64}.get(
            type(value), get_default_dtype()
        )
    return _filled((size,), value, kind, device, requires_grad, out)


def _like(input, value, dtype, spec, requires_grad) -> Tensor:
    where = input.place if spec is None else spec
    if spec is None and getattr(input, "_is_meta", False):
        where = "meta"
    return _filled((tuple(input.shape),), value, as_dtype(dtype) or input.dtype, where,
                   requires_grad)  # fmt: skip


def zeros_like(input, *, dtype=None, layout=None, device=None, requires_grad=False,
               memory_format=None, pin_memory=False) -> Tensor:  # fmt: skip
    """Zeros with the shape, dtype and device of ``input``."""
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(input, *, dtype=None, layout=None, device=None, requires_grad=False,
              memory_format=None, pin_memory=False) -> Tensor:  # fmt: skip
    """Ones with the shape, dtype and device of ``input``."""
    return _like(input, 1, dtype, device, requires_grad)


def full_like(input, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False,
              memory_format=None, pin_memory=False) -> Tensor:  # fmt: skip
    """``fill_value`` with the shape, dtype and device of ``input``."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _like(input, value, dtype, device, requires_grad)


empty_like = zeros_like


def arange(*bounds, out=None, dtype=None, layout=None, device=None, requires_grad=False,
           pin_memory=False, start=None, end=None, step=None) -> Tensor:  # fmt: skip
    """``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``."""
    values = list(bounds)
    if len(values) == 1 and end is None and start is None:
        values = [0, values[0]]
    elif start is not None or end is not None:
        values = [start or 0, *values] if start is not None or not values else values
        values = [*values, end] if end is not None else values
        values = [0, *values] if len(values) == 1 else values
    if step is not None:
        values.append(step)
    values = [v.item() if isinstance(v, (Tensor, np.generic)) else v for v in values]
    start, end, step = (*values, 1)[:3]
    kind = as_dtype(dtype)
    if kind is None:
        whole = all(isinstance(v, int) for v in (start, end, step))
        kind = paddle.int64 if whole else get_default_dtype()
    count = math.ceil((end - start) / step)
    if count < 0 or step == 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    wide = np.arange(count) * np.asarray(step) + np.asarray(start)
    if is_meta(device):
        return meta_tensor((count,), kind)
    made = tensor(wide, dtype=kind, device=device, requires_grad=requires_grad)
    return made if out is None else copy_into(out, made, resize=True)


def range_(start=0, end=None, step=1, **kwargs) -> Tensor:
    """``torch.range``: the end is included."""
    return arange(start, end + step / 2, step, **({"dtype": get_default_dtype()} | kwargs))


def linspace(start, end, steps, *, out=None, dtype=None, layout=None, device=None,
             requires_grad=False) -> Tensor:  # fmt: skip
    """``steps`` values from ``start`` to ``end``, both included.

    Computed from both ends to the middle, as torch does, so that the bits agree.
    """
    kind = as_dtype(dtype) or get_default_dtype()
    start, end, steps = (v.item() if isinstance(v, Tensor) else v for v in (start, end, steps))
    work = np.float64 if NAMES[kind] == "float64" or category(kind) < 2 else np.float32
    first, last = work(start), work(end)
    step = (last - first) / work(max(steps - 1, 1))
    index = np.arange(steps)
    rising, falling = (
        first + step * index.astype(work),
        last - step * (steps - 1 - index).astype(work),
    )
    array = np.where(index < steps // 2 + (steps == 1), rising, falling).astype(work)
    return tensor(array, dtype=kind, device=device, requires_grad=requires_grad)


def logspace(start, end, steps, base=10.0, *, dtype=None, device=None, requires_grad=False, **_):
    """``base`` to the powers that ``linspace`` gives."""
    kind = as_dtype(dtype) or get_default_dtype()
    power = linspace(start, end, steps, dtype="float64")
    array = np.power(float(base), np.asarray(power))
    return tensor(array, dtype=kind, device=device, requires_grad=requires_grad)


def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Ones on the diagonal."""
    kind = as_dtype(dtype) or get_default_dtype()
    return tensor(np.eye(n, m), dtype=kind, device=device, requires_grad=requires_grad)


def complex(real, imag, *, out=None) -> Tensor:
    """A complex tensor of its parts."""
    return paddle.complex(real, imag)


def empty_strided(size, stride, *, dtype=None, device=None, requires_grad=False, **_) -> Tensor:
    """Items of any value with the given strides, in items."""
    span = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
    base = zeros(span, dtype=dtype, device=device)
    return with_grad(paddle.as_strided(base, list(size), list(stride)), requires_grad)


def _new(function, leading: int):
    def method(self: Tensor, *args, dtype=None, device=None, **kwargs) -> Tensor:
        where = self.place if device is None else device
        head, tail = args[: len(args) - leading], args[len(args) - leading :]
        kind = self.dtype if dtype is None else dtype
        return function(*head, *tail, dtype=kind, device=where, **kwargs)

    return method


def new_tensor(self: Tensor, data, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A copy of ``data`` with the dtype and device of this tensor."""
    return tensor(data, dtype=dtype or self.dtype, device=self.place if device is None else device,
                  requires_grad=requires_grad)  # fmt: skip


_NOTE = "the dtype and device of this tensor, torch's keywords"
for _name, _function in {"new_zeros": zeros, "new_ones": ones, "new_empty": empty}.items():
    by_caller(Tensor, _name, _new(_function, 0), _NOTE)
by_caller(Tensor, "new_full", _new(full, 0), _NOTE)
by_caller(Tensor, "new_tensor", new_tensor, _NOTE)


def typed_tensor(name: str, kind: Any) -> type:
    """The old constructor ``torch.LongTensor``: of data, or of a size."""

    class Meta(type):
        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, Tensor) and value.dtype is kind

    def new(cls, *args, device=None):
        if len(args) == 1 and not isinstance(args[0], int):
            return tensor(args[0], dtype=kind, device=device)
        return empty(*(args or (0,)), dtype=kind, device=device)

    return Meta(name, (), {"__new__": new, "dtype": kind})


TYPED = {
    "LongTensor": "int64", "IntTensor": "int32", "ShortTensor": "int16", "CharTensor": "int8",
    "ByteTensor": "uint8", "BoolTensor": "bool", "FloatTensor": "float32",
    "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16",
}  # fmt: skip
globals().update({name: typed_tensor(name, BY_NAME[kind]) for name, kind in TYPED.items()})


def no_such_device(where: Any) -> DeviceError:
    """The error for a device that this build has not."""
    return DeviceError(f"no device {where}: this Paddle build has none. Use 'cpu'.")


__all__ = [
    *TYPED, "Size", "arange", "as_tensor", "asarray", "complex", "empty", "empty_like",
    "empty_strided", "eye", "from_dlpack", "from_numpy", "frombuffer", "full", "full_like",
    "linspace", "logspace", "ones", "ones_like", "tensor", "zeros", "zeros_like",
]  # fmt: skip
