"""``torch.save`` and ``torch.load``: torch's zip files, both ways.

What is written here loads in torch, and what torch writes loads here. Reading with ``weights_only``
goes through the allow-list reader of ``hfpaddle.converters.torch_pickle``. Format: a stored zip of
``data.pkl`` (pickle protocol 2) and one record a storage, aligned to 64 bytes.
Source: ``torch/serialization.py`` of torch 2.13.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from hfpaddle.converters.pickles import Buildable, Call, encoded, pairs_dict
from hfpaddle.converters.torch_pickle import SavedTensor, read_torch_object
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._convert import moved
from hfpaddle.torch._create import Size
from hfpaddle.torch._device import device
from hfpaddle.torch._dtypes import BY_NAME, NAMES

Tensor = paddle.Tensor
Parameter = paddle.base.framework.EagerParamBase
_STORAGES = {
    "bool": "BoolStorage", "uint8": "ByteStorage", "int8": "CharStorage", "int16": "ShortStorage",
    "int32": "IntStorage", "int64": "LongStorage", "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage", "float32": "FloatStorage", "float64": "DoubleStorage",
    "complex64": "ComplexFloatStorage", "complex128": "ComplexDoubleStorage",
}  # fmt: skip
_ALIGNMENT = 64
_safe: list[Any] = []


class _Global:
    """A name of torch, written as such though no torch is there to import it from."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self, *_: Any) -> None:
        """Only so that pickle takes it for a function."""


class _Storage:
    """Bytes on the CPU, shared by the tensors that were views of one memory."""

    def __init__(self, key: str, kind: str, data: np.ndarray, itemsize: int, owner: Tensor):
        self.key, self.kind, self.data, self.itemsize = key, kind, data, itemsize
        self.owner = owner  # keeps the memory while it is written


_REBUILD = _Global("torch._utils", "_rebuild_tensor_v2")
_REBUILD_3 = _Global("torch._utils", "_rebuild_tensor_v3")
_PARAMETER = _Global("torch._utils", "_rebuild_parameter")


class _Pickler(pickle._Pickler):  # the Python one: it can write names that cannot be imported
    def __init__(self, file: Any):
        super().__init__(file, protocol=2)
        self.storages: dict[tuple, _Storage] = {}

    def save_global(self, obj: Any, name: Any = None) -> None:
        if isinstance(obj, (_Global, paddle.dtype)):
            module = obj.module if isinstance(obj, _Global) else "torch"
            self.write(b"c" + f"{module}\n{name}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, _Storage):
            return None
        items = len(obj.data) // obj.itemsize
        module = "torch.storage" if obj.kind == "UntypedStorage" else "torch"
        return ("storage", _global(module, obj.kind), obj.key, "cpu", items)

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _Global):
            return obj.name
        if isinstance(obj, Parameter):
            plain = obj.detach()
            return _PARAMETER, (plain, not obj.stop_gradient, OrderedDict())
        if isinstance(obj, Tensor):
            return self._tensor(obj)
        if isinstance(obj, paddle.dtype):
            return NAMES[obj]
        if isinstance(obj, Size):
            return _global("torch", "Size"), (tuple(obj),)
        if isinstance(obj, device):
            return _global("torch", "device"), obj.__reduce__()[1]
        return NotImplemented

    def _tensor(self, tensor: Tensor) -> tuple:
        name = NAMES[tensor.dtype]
        storage, offset, stride = self._storage(tensor, name)
        shape, grad = tuple(tensor.shape), not tensor.stop_gradient and tensor.is_leaf
        if name in _STORAGES:
            return _REBUILD, (storage, offset, shape, stride, grad, OrderedDict())
        last = (OrderedDict(), tensor.dtype)
        return _REBUILD_3, (storage, offset, shape, stride, grad, *last)

    def _storage(self, tensor: Tensor, name: str) -> tuple[_Storage, int, tuple]:
        itemsize = tensor.element_size()
        x = tensor.detach() if tensor.place.is_cpu_place() else tensor.detach().cpu()
        held, start = x._holder_size(), x.data_ptr() - x.offset
        span = x.offset + itemsize * (
            1 + sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True))
        )
        if 0 in x.shape or span > held:
            x = x.contiguous()
            held, start = x._numel() * itemsize, x.data_ptr()
        key = (start, held, name)
        if key not in self.storages:
            raw = (ctypes.c_char * held).from_address(start) if held else b""
            data = np.frombuffer(raw, np.uint8)
            kind = _STORAGES.get(name, "UntypedStorage")
            size = itemsize if name in _STORAGES else 1
            self.storages[key] = _Storage(str(len(self.storages)), kind, data, size, x)
        offset = 0 if 0 in x.shape else x.offset // itemsize
        return self.storages[key], offset, tuple(x.strides) if x.ndim else ()


_globals: dict[tuple[str, str], _Global] = {}


def _global(module: str, name: str) -> _Global:
    return _globals.setdefault((module, name), _Global(module, name))


def save(
    obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True, _disable_byteorder_record: bool = False,
) -> None:  # fmt: skip
    """Write ``obj`` to a path or a binary file, in torch's zip format.

    Raises: UnsupportedArgumentError for the format before torch 1.6.
    """
    if not _use_new_zipfile_serialization:
        raise UnsupportedArgumentError(
            "torch.save(_use_new_zipfile_serialization=False): only the zip format is written."
        )
    body = io.BytesIO()
    pickler = _Pickler(body)
    pickler.dump(obj)
    name = Path(f).stem if isinstance(f, (str, os.PathLike)) else "archive"
    with zipfile.ZipFile(f, "w", zipfile.ZIP_STORED) as archive:
        _record(archive, f"{name}/data.pkl", body.getbuffer())
        _record(archive, f"{name}/byteorder", b"little")
        for storage in pickler.storages.values():
            _record(archive, f"{name}/data/{storage.key}", storage.data)
        _record(archive, f"{name}/version", b"3\n")


def _record(archive: zipfile.ZipFile, name: str, data: Any) -> None:
    """One stored record whose data begins at a multiple of 64 bytes."""
    info = zipfile.ZipInfo(name)
    data = memoryview(data)
    header = archive.fp.tell() + 30 + len(name.encode())
    zip64 = 20 if data.nbytes * 1.05 > zipfile.ZIP64_LIMIT else 0  # zipfile adds it by itself
    padding = -(header + zip64 + 4) % _ALIGNMENT
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    info.file_size = data.nbytes
    with archive.open(info, "w", force_zip64=bool(zip64)) as record:
        for start in range(0, data.nbytes, 1 << 28):
            record.write(data[start : start + (1 << 28)])


def load(
    f: Any, map_location: Any = None, pickle_module: Any = None, *,
    weights_only: bool | None = None, mmap: bool | None = None, **_: Any,
) -> Any:  # fmt: skip
    """The object in a path or a binary file of ``torch.save``, either format.

    Args:
        map_location: device, name, dict of names or callable ``(storage, name)``; None is the CPU.
        weights_only: True (as in torch) reads tensors, plain containers and what
            ``add_safe_globals`` allows; False unpickles anything, and so may run code.
    Raises: UnsafeCheckpointError for other content with ``weights_only``; CheckpointError.
    """
    where = _target(map_location)
    with _as_path(f) as path:
        if weights_only is False:
            return _load_anything(path, where)
        return read_torch_object(
            path, _safe_names(), lambda saved: _finished(saved, where), BY_NAME
        )


def _target(map_location: Any) -> Any:
    if callable(map_location) and not isinstance(map_location, device):
        result = map_location(None, "cpu")
        return result if isinstance(result, (str, device)) else None
    if isinstance(map_location, dict):
        return map_location.get("cpu")
    return map_location


@contextlib.contextmanager
def _as_path(f: Any) -> Iterator[Any]:
    if isinstance(f, (str, os.PathLike)):
        yield f
        return
    # The reader maps files. The name is gone at once; the map lives on.
    handle, path = tempfile.mkstemp(suffix=".pt")
    try:
        with os.fdopen(handle, "wb") as copy:
            while block := f.read(1 << 24):
                copy.write(block)
        yield path
    finally:
        os.unlink(path)


def _finished(saved: SavedTensor, where: Any) -> Tensor:
    tensor = saved.entry.load()
    if where is not None:
        tensor = moved(tensor, None, where)
    if saved.parameter:
        tensor = _parameter(tensor)
    tensor.stop_gradient = not saved.requires_grad
    return tensor


def _parameter(tensor: Tensor) -> Tensor:
    return Parameter.from_tensor(tensor)


class _NumpyDType(Buildable):
    def __init__(self, name: str, *_: Any):
        self.value = np.dtype(name)
        if self.value.hasobject:
            raise TypeError("numpy objects")


class _Array(Buildable):
    """A numpy array under construction; its state brings the values."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        _version, shape, kind, _fortran, raw = state
        raw = raw if isinstance(raw, bytes) else raw.file.bytes(raw.start, raw.stop)
        order = "F" if _fortran else "C"
        self.value = np.frombuffer(raw, kind.value).reshape(shape, order=order).copy()


def _scalar(kind: _NumpyDType, raw: Any) -> Any:
    raw = raw if isinstance(raw, bytes) else raw.file.bytes(raw.start, raw.stop)
    return np.frombuffer(raw, kind.value)[0]


def _safe_names() -> dict[str, Any]:
    names: dict[str, Any] = {
        "collections.OrderedDict": Call(lambda pairs=(): OrderedDict(pairs_dict(pairs))),
        "torch.Size": Call(lambda items=(): Size(items)),
        "torch.device": Call(device),
        "_codecs.encode": Call(encoded),
        "numpy.dtype": Call(_NumpyDType),
    }
    for module in ("core", "_core"):
        names[f"numpy.{module}.multiarray.scalar"] = Call(_scalar)
    for item in _safe:
        item, name = item if isinstance(item, tuple) else (item, None)
        names[name or f"{item.__module__}.{item.__qualname__}"] = Call(item)
    return names


def add_safe_globals(safe_globals: list) -> None:
    """Allow these functions and classes in files that ``load`` reads with ``weights_only``."""
    _safe.extend(safe_globals)


def get_safe_globals() -> list:
    """What is allowed."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Allow none of them."""
    _safe.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list) -> Iterator[None]:
    """Allow them inside a ``with``."""
    before = list(_safe)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe[:] = before


# weights_only=False: Python's own unpickler, with torch's names given a meaning.


class _AnyStorage:
    def __init__(self, kind: str):
        self.kind = kind


def _load_anything(path: Any, where: Any) -> Any:
    if not zipfile.is_zipfile(path):
        raise UnsupportedArgumentError(
            "torch.load(weights_only=False): only the zip format is read. Load with "
            "weights_only=True."
        )
    with zipfile.ZipFile(path) as archive:
        main = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        prefix = main.removesuffix("data.pkl")
        reader = _Unpickler(io.BytesIO(archive.read(main)))
        reader.read, reader.where = (lambda key: archive.read(f"{prefix}data/{key}")), where
        return reader.load()


class _Unpickler(pickle.Unpickler):
    read: Callable[[str], bytes]
    where: Any

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module in ("torch", "torch.storage", "torch.cuda") and name.endswith("Storage"):
            return _AnyStorage(name)
        if module == "torch" and name in BY_NAME:
            return BY_NAME[name]
        if full in self._rebuilders():
            return self._rebuilders()[full]
        if module.partition(".")[0] == "torch":
            module = f"hfpaddle.{module}"
        return super().find_class(module, name)

    def _rebuilders(self) -> dict[str, Callable]:
        return {
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor,
            "torch._utils._rebuild_parameter": self._as_parameter,
            "torch.Size": Size,
            "torch.device": device,
        }

    def persistent_load(self, pid: tuple) -> tuple[np.ndarray, str]:
        _, kind, key, _, _ = pid
        if not hasattr(self, "_cache"):
            self._cache: dict[str, np.ndarray] = {}
        if key not in self._cache:
            self._cache[key] = np.frombuffer(bytearray(self.read(key)), np.uint8)
        return self._cache[key], kind.kind

    def _tensor(self, storage, offset, size, stride, grad, hooks, *rest) -> Tensor:
        raw, kind = storage
        names = {storage: name for name, storage in _STORAGES.items()}
        name = NAMES[rest[0]] if rest else names[kind]
        wide = {"bfloat16": "int16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
        items = raw.view(wide.get(name, name))
        if 0 in size:
            made = paddle.zeros(list(size), name)
        else:
            strides = tuple(n * items.itemsize for n in stride)
            view = np.lib.stride_tricks.as_strided(items[offset:], size, strides)
            made = paddle.from_dlpack(np.ascontiguousarray(view).reshape(size))
            made = made.view(BY_NAME[name]) if name in wide else made
        made = made if self.where is None else moved(made, None, self.where)
        made.stop_gradient = not grad
        return made

    def _as_parameter(self, data: Tensor, requires_grad: bool, hooks: Any) -> Tensor:
        made = _parameter(data)
        made.stop_gradient = not requires_grad
        return made


__all__ = [
    "add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save",
]  # fmt: skip
