"""Files of ``torch.save`` without torch: the zip format (torch 1.6 on) and the one before it.

Zip: a stored (uncompressed) archive of ``<name>/data.pkl`` and one record a storage, so tensors are
mapped in place. Legacy: five pickles (magic number, protocol, system, object, storage keys), then
each storage as an item count and its items. Source: ``torch/serialization.py`` of torch 2.13.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hfpaddle.converters.entry import TensorEntry
from hfpaddle.converters.mapped import NUMPY_DTYPES, MappedFile, Storage, show, storage_entry
from hfpaddle.converters.pickles import (
    Buildable,
    Call,
    Opaque,
    PickleReader,
    Span,
    encoded,
    no_bytes,
    pairs_dict,
    scalar_set,
)
from hfpaddle.core.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
# Where training scripts put the weights inside a larger checkpoint; the first that is there counts.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "module")
# torch's name of a dtype, and of its storage class, -> Paddle's name.
_STORAGES = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
_UNTYPED = "untyped"
_DTYPES = (*NUMPY_DTYPES, "uint16", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")


@dataclass(frozen=True)
class _DType:
    name: str


@dataclass(frozen=True)
class _StorageType:
    dtype: str  # of Paddle, or _UNTYPED


@dataclass(frozen=True)
class _StorageRef:
    """A storage as the pickle names it; ``view`` is where a legacy view begins, in items."""

    key: str
    dtype: str
    nbytes: int
    view: int = 0


@dataclass
class _Tensor(Buildable):
    storage: _StorageRef
    dtype: str
    offset: int
    size: tuple
    stride: tuple
    requires_grad: bool = False
    parameter: bool = False


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, dtype: str | None = None) -> _Tensor:
    if not isinstance(storage, _StorageRef) or not isinstance(offset, int):
        raise TypeError("tensor without storage")
    if dtype is None and storage.dtype == _UNTYPED:
        raise TypeError("tensor without dtype")
    offset += storage.view
    return _Tensor(storage, dtype or storage.dtype, offset, tuple(size), tuple(stride))


def _rebuild_v2(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, metadata: Any = None
) -> _Tensor:
    tensor = _with_metadata(_tensor(storage, offset, size, stride), metadata)
    return replace(tensor, requires_grad=grad is True)


def _rebuild_v3(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any,
    metadata: Any = None,
) -> _Tensor:  # fmt: skip
    if not isinstance(dtype, _DType):
        raise TypeError("dtype")
    return _with_metadata(_tensor(storage, offset, size, stride, dtype.name), metadata)


def _with_metadata(tensor: _Tensor, metadata: Any) -> _Tensor:
    """torch marks lazily conjugated and negated tensors here: their items are not their values."""
    if metadata and (not isinstance(metadata, dict) or any(metadata.values())):
        raise CheckpointError(
            "a tensor is saved as a lazy conjugate or negation. Save tensor.resolve_conj()."
            "resolve_neg() instead."
        )
    return tensor


def _parameter(data: Any, grad: Any = False, *_: Any) -> _Tensor:
    if not isinstance(data, _Tensor):
        raise TypeError("parameter without tensor")
    return replace(data, requires_grad=grad is True, parameter=True)


def _from_type(function: Any, kind: Any, arguments: Any, _state: Any) -> Any:
    """A tensor with Python attributes. Subclasses are not in the table, so ``kind`` is torch's."""
    if not isinstance(function, Call) or not isinstance(kind, Opaque):
        raise TypeError("tensor type")
    tensor = function.function(*arguments)
    if not isinstance(tensor, _Tensor):
        raise TypeError("tensor type")
    return tensor


def _size(items: Any = ()) -> tuple:
    return tuple(items)


def _opaque(*_: Any) -> Opaque:
    return Opaque()


def _names() -> dict[str, Any]:
    names: dict[str, Any] = {
        "collections.OrderedDict": Call(pairs_dict),
        "builtins.set": Call(scalar_set),
        "builtins.bytes": Call(no_bytes),
        "_codecs.encode": Call(encoded),
        "torch.Size": Call(_size),
        "torch.device": Call(_opaque),
        "torch.Tensor": Opaque(),
        "torch.nn.parameter.Parameter": Opaque(),
        "torch._utils._rebuild_tensor": Call(_tensor),
        "torch._utils._rebuild_tensor_v2": Call(_rebuild_v2),
        "torch._utils._rebuild_tensor_v3": Call(_rebuild_v3),
        "torch._utils._rebuild_parameter": Call(_parameter),
        "torch._utils._rebuild_parameter_with_state": Call(_parameter),
        "torch._tensor._rebuild_from_type_v2": Call(_from_type),
        "torch.storage.UntypedStorage": _StorageType(_UNTYPED),
        "torch.UntypedStorage": _StorageType(_UNTYPED),
        "numpy.dtype": Call(_opaque),
    }
    for module in ("torch", "torch.cuda"):
        names |= {f"{module}.{name}": _StorageType(kind) for name, kind in _STORAGES.items()}
    names |= {f"torch.{name}": _DType(name) for name in _DTYPES}
    names |= {f"numpy.{module}.multiarray.scalar": Call(_opaque) for module in ("core", "_core")}
    return names


_NAMES = _names()


def read_torch(path: str | os.PathLike) -> dict[str, TensorEntry]:
    """Describe every tensor of a ``torch.save`` file (``.bin``, ``.pt``, ``.pth``, ``.ckpt``).

    The file holds a state dict, or a dict with one under ``state_dict``, ``model``,
    ``model_state_dict`` or ``module``; numbers and strings beside the tensors are skipped. Tensors
    that share a storage share memory when loaded, unless one of them is not contiguous.

    Raises:
        MissingFileError: no such file.
        UnsafeCheckpointError: its pickle names anything but tensors and plain containers.
        CheckpointError: truncated, malformed, inconsistent, big-endian, or not a state dict.
    """
    value, locate, file = _open(path, _NAMES)
    entries = {}
    for name, tensor in _state_dict(value, file).items():
        storage = locate(tensor.storage)
        entries[name] = storage_entry(
            name, storage, tensor.dtype, tensor.size, offset=tensor.offset, strides=tensor.stride
        )
    return entries


@dataclass(frozen=True)
class SavedTensor:
    """A tensor inside a larger object: its entry, and what torch knew besides the items."""

    entry: TensorEntry
    requires_grad: bool
    parameter: bool


def read_torch_object(
    path: str | os.PathLike,
    names: Mapping[str, Any],
    finish: Callable[[SavedTensor], Any],
    dtypes: Mapping[str, Any],
) -> Any:
    """The whole object of a ``torch.save`` file, each tensor as ``finish`` makes it.

    Args:
        names: ``"module.name"`` -> :class:`Call` or a value, beside tensors and plain containers.
        finish: is called once for each tensor of the pickle.
        dtypes: what stands for a saved dtype, by its name.
    Raises: as :func:`read_torch`, but for any object.
    """
    value, locate, _ = _open(path, {**_NAMES, **names})
    made: dict[int, Any] = {}

    def build(item: Any) -> Any:
        if id(item) in made:
            return made[id(item)]
        result = item
        if isinstance(item, _Tensor):
            entry = storage_entry(
                "tensor", locate(item.storage), item.dtype, item.size, offset=item.offset,
                strides=item.stride,
            )  # fmt: skip
            result = finish(SavedTensor(entry, item.requires_grad, item.parameter))
        elif isinstance(item, dict):
            made[id(item)] = item
            for key in item:
                item[key] = build(item[key])
        elif isinstance(item, list):
            made[id(item)] = item
            item[:] = [build(part) for part in item]
        elif type(item) is tuple:
            result = tuple(build(part) for part in item)
        elif isinstance(item, Span):
            raw = item.file.bytes(item.start, item.stop)
            result = raw if item.encoding is None else raw.decode(item.encoding, "surrogatepass")
        elif isinstance(item, _DType):
            result = dtypes[item.name]
        made[id(item)] = result
        return result

    # ``value`` holds every part, so that no id is used twice.
    return build(value)


def _open(
    path: str | os.PathLike, names: Mapping[str, Any]
) -> tuple[Any, Callable[[_StorageRef], Storage], MappedFile]:
    file = MappedFile(path)
    head = file.bytes(0, 512)
    if head[:4] == b"PK\x03\x04":
        return *_read_zip(file, names), file
    if head[257:262] == b"ustar":
        raise CheckpointError(
            f"{file.path.name} is a tar file of torch 0.1. Load and save it with a newer torch."
        )
    if head[:1] == b"\x80":
        return *_read_legacy(file, names), file
    raise CheckpointError(
        f"{file.path.name} begins with {head[:8]!r}, which no file of torch.save does. It is "
        f"damaged, or in another format."
    )


def _state_dict(value: Any, file: MappedFile) -> dict[str, _Tensor]:
    if isinstance(value, dict) and not any(isinstance(v, _Tensor) for v in value.values()):
        inner = (value[key] for key in _WRAPPERS if isinstance(value.get(key), dict))
        value = next(inner, value)
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{file.path.name} holds {show(value)}, not a state dict. Save model.state_dict()."
        )
    tensors = {}
    for name, item in value.items():
        if isinstance(item, _Tensor) and isinstance(name, str):
            tensors[name] = item
        elif not isinstance(item, (int, float, str, type(None), Opaque, _DType)):
            raise CheckpointError(
                f"{file.path.name}: key {show(name)} holds {show(item)}, not a tensor. A state "
                f"dict is expected, alone or under one of {', '.join(_WRAPPERS)}."
            )
    if value and not tensors:
        raise CheckpointError(f"{file.path.name} holds no tensors. Is it the weights file?")
    return tensors


def _storage_ref(saved: Any, file: MappedFile) -> _StorageRef:
    """What ``persistent_load`` gives for ``("storage", type, key, location, items[, view])``."""
    if not isinstance(saved, tuple) or len(saved) not in (5, 6) or saved[0] != "storage":
        raise TypeError("persistent id")
    _, kind, key, _, items = saved[:5]
    if not isinstance(kind, _StorageType) or not isinstance(key, (str, int)):
        raise TypeError("storage type or key")
    itemsize = 1 if kind.dtype == _UNTYPED else NUMPY_DTYPES[kind.dtype].itemsize
    if type(items) is not int or not 0 <= items * itemsize <= file.size:
        raise CheckpointError(
            f"{file.path.name}: storage {show(key)} claims {show(items)} items of {itemsize} "
            f"bytes, but the file has {file.size} bytes. It is damaged: fetch it again."
        )
    ref = _StorageRef(str(key), kind.dtype, items * itemsize)
    view = saved[5] if len(saved) == 6 else None
    if view is None:
        return ref
    _, start, count = view
    if type(start) is not int or type(count) is not int or not 0 <= start <= start + count <= items:
        raise ValueError("storage view")
    return replace(ref, view=start)


def _read_zip(
    file: MappedFile, names: Mapping[str, Any]
) -> tuple[Any, Callable[[_StorageRef], Storage]]:
    try:
        with zipfile.ZipFile(file.path) as archive:
            records = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError) as error:
        raise CheckpointError(
            f"{file.path.name} ({file.size} bytes) is not a whole zip file: {error}. The download "
            f"or copy was cut short: fetch it again."
        ) from error
    pickles = [n for n in records if n.endswith("/data.pkl") and n.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError(
            f"{file.path.name} is a zip file, but not one of torch.save: it has {len(pickles)} "
            f"records named <name>/data.pkl instead of 1."
        )
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}byteorder" in records:
        order = _record(file, records[f"{prefix}byteorder"])
        if file.bytes(order[0], order[1]).strip() != b"little":
            raise _big_endian(file)
    start, stop = _record(file, records[pickles[0]])
    value = PickleReader(file, start, stop, names, partial(_storage_ref, file=file)).load()
    storages: dict[str, Storage] = {}

    def locate(ref: _StorageRef) -> Storage:
        if ref.key not in storages:
            info = records.get(f"{prefix}data/{ref.key}")
            if info is None:
                raise CheckpointError(
                    f"{file.path.name}: storage {show(ref.key)} has no record in the archive. The "
                    f"file is damaged: fetch it again."
                )
            begin, end = _record(file, info)
            storages[ref.key] = Storage(file, begin, end - begin)
        return _checked(storages[ref.key], ref, file)

    return value, locate


def _checked(storage: Storage, ref: _StorageRef, file: MappedFile) -> Storage:
    if ref.nbytes > storage.nbytes:
        raise CheckpointError(
            f"{file.path.name}: storage {show(ref.key)} should have {ref.nbytes} bytes and has "
            f"{storage.nbytes}. The file is damaged: fetch it again."
        )
    return storage


def _record(file: MappedFile, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Byte range of a stored record: its local header tells where the data begins."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise CheckpointError(
            f"{file.path.name}: record {show(info.filename)} is compressed or encrypted, which "
            f"torch.save never does. Unpack the archive and pack it again with `zip -0`."
        )
    header = (
        file.bytes(info.header_offset, info.header_offset + 30) if info.header_offset >= 0 else b""
    )
    if len(header) == 30 and header[:4] == b"PK\x03\x04":
        name, extra = struct.unpack_from("<HH", header, 26)
        start = info.header_offset + 30 + name + extra
        if start + info.file_size <= file.size and info.file_size == info.compress_size:
            return start, start + info.file_size
    raise CheckpointError(
        f"{file.path.name}: record {show(info.filename)} of {info.file_size} bytes does not lie in "
        f"the file of {file.size} bytes. It is truncated or damaged: fetch it again."
    )


def _big_endian(file: MappedFile) -> CheckpointError:
    return CheckpointError(
        f"{file.path.name} was saved on a big-endian machine. Save it again on a little-endian "
        f"one, or as safetensors."
    )


def _read_legacy(
    file: MappedFile, names: Mapping[str, Any]
) -> tuple[Any, Callable[[_StorageRef], Storage]]:
    position = 0
    refs: dict[str, _StorageRef] = {}

    def persistent(saved: Any) -> _StorageRef:
        ref = _storage_ref(saved, file)
        first = refs.setdefault(ref.key, ref)
        if (first.dtype, first.nbytes) != (ref.dtype, ref.nbytes):
            raise ValueError("one storage described in two ways")
        return ref

    def load() -> Any:
        nonlocal position
        reader = PickleReader(file, position, file.size, names, persistent)
        value = reader.load()
        position = reader.position
        return value

    magic = load()
    if magic != _MAGIC or load() != _PROTOCOL:
        raise CheckpointError(
            f"{file.path.name} is a pickle, but not one of torch.save: its magic number is "
            f"{show(magic)}. Save it with torch.save or as safetensors."
        )
    system = load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _big_endian(file)
    value, keys = load(), load()
    storages = _legacy_storages(file, position, keys, refs)

    def locate(ref: _StorageRef) -> Storage:
        if ref.key not in storages:
            raise CheckpointError(
                f"{file.path.name}: storage {show(ref.key)} is not in the file. Fetch it again."
            )
        return storages[ref.key]

    return value, locate


def _legacy_storages(
    file: MappedFile, position: int, keys: Any, refs: dict[str, _StorageRef]
) -> dict[str, Storage]:
    """Walk the storages, which follow each other as an int64 item count and the items."""
    if not isinstance(keys, list) or not all(isinstance(k, (str, int)) for k in keys):
        raise CheckpointError(f"{file.path.name}: damaged list of storages. Fetch the file again.")
    storages = {}
    for key in map(str, keys):
        ref = refs.get(key)
        count = int.from_bytes(file.bytes(position, position + 8), "little", signed=True)
        itemsize = 0 if ref is None else 1 if ref.dtype == _UNTYPED else (
            NUMPY_DTYPES[ref.dtype].itemsize
        )  # fmt: skip
        stop = position + 8 + count * itemsize
        if ref is None or count * itemsize != ref.nbytes or stop > file.size:
            raise CheckpointError(
                f"{file.path.name}: storage {show(key)} at byte {position} claims {count} items "
                f"and does not fit the file of {file.size} bytes. It is damaged: fetch it "
                f"again."
            )
        storages[key] = Storage(file, position + 8, count * itemsize)
        position = stop
    return storages
