"""A file as memory, and tensors that lie in it.

One private, copy-on-write map a file: reading costs no copy, writing to a tensor never reaches the
file. Arrays hold the map and tensors hold arrays, so the map goes with the last tensor or entry.
"""

from __future__ import annotations

import math
import mmap
import os
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from hfpaddle.converters.entry import TensorEntry
from hfpaddle.core.errors import CheckpointError, MissingFileError

# Paddle's dtype name -> numpy dtype whose bytes are the same.
NUMPY_DTYPES = {
    "bool": np.dtype(np.bool_),
    "uint8": np.dtype("<u1"),
    "int8": np.dtype("<i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "uint32": np.dtype("<u4"),
    "uint64": np.dtype("<u8"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<i2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "complex64": np.dtype("<c8"),
    "complex128": np.dtype("<c16"),
    "float8_e4m3fn": np.dtype("<u1"),
    "float8_e5m2": np.dtype("<u1"),
}
# numpy lacks these: they arrive as integers and are viewed. A uint16 array would not do for
# bfloat16: DLPack makes it Paddle's uint16, which prints as bfloat16 and casts as integers (3.3.1).
_VIEWED_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
MAX_RANK = 9  # paddle.Tensor has no more axes
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Linux; not in every Python's module
_EXPANSION_BYTES = 64 << 20
_files: weakref.WeakSet[MappedFile] = weakref.WeakSet()


def show(value: Any) -> str:
    """``repr`` for messages about untrusted values: short, and never recursive."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, (str, bytes, int, float)):
        text = repr(value[:120] if isinstance(value, (str, bytes)) else value)
        return text if len(text) <= 160 else text[:160] + "..."
    return f"a {type(value).__name__}"


def dtype_name(dtype: Any) -> str:
    """Paddle's short name of a ``paddle.dtype``: ``"float32"``. ``str`` calls uint16 bfloat16."""
    return dtype.name.lower()


class MappedFile:
    """The bytes of ``path``.

    Attributes:
        path: for messages.
        size: bytes.
        array: ``[size]`` uint8, copy-on-write.

    Raises:
        MissingFileError: ``path`` does not exist.
        CheckpointError: it is a directory, empty, or cannot be read.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        try:
            if self.path.is_dir():
                raise CheckpointError(f"{self.path} is a directory, not a checkpoint file.")
            self._handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError as error:
            raise MissingFileError(f"{self.path} does not exist.") from error
        except CheckpointError:
            raise
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be opened: {error}.") from error
        weakref.finalize(self, os.close, self._handle)
        self.size = os.fstat(self._handle).st_size
        if self.size == 0:
            raise CheckpointError(
                f"{self.path} is empty (0 bytes): the download or copy failed. Fetch it again."
            )
        try:
            self._map = _copy_on_write(self._handle, self.size)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path} cannot be memory-mapped: {error}.") from error
        self.array = np.frombuffer(self._map, dtype=np.uint8)
        _files.add(self)

    def bytes(self, start: int, stop: int) -> bytes:
        """A copy of the bytes from ``start`` to ``stop``, cut at the end of the file."""
        return self.array[start:stop].tobytes()

    def read(self, start: int, nbytes: int) -> np.ndarray:
        """Read into fresh, aligned memory: ``[nbytes]`` uint8.

        Read, not copied out of the map, so that the map's pages do not become resident too.
        """
        out = np.empty(nbytes, np.uint8)
        if not hasattr(os, "preadv"):
            out[:] = self.array[start : start + nbytes]
            return out
        done = 0
        while done < nbytes:
            count = os.preadv(self._handle, [out.data[done:]], start + done)
            if count == 0:
                raise CheckpointError(
                    f"{self.path} ended at byte {start + done}, but had {self.size} bytes when it "
                    f"was opened: it was truncated meanwhile."
                )
            done += count
        return out


def release_pages(tensor: paddle.Tensor) -> None:
    """Give back the memory behind a tensor that lies in a mapped file and was not written to.

    After a cast or a move of the weights, so that source and result are not both resident. The
    tensor stays valid: its pages are read again if they are needed. Other tensors are left alone.
    """
    if not tensor.place.is_cpu_place() or not hasattr(mmap, "MADV_DONTNEED"):
        return
    first, length = tensor.data_ptr(), tensor.size * tensor.element_size()
    for file in _files:
        offset = first - file.array.ctypes.data
        if 0 <= offset and offset + length <= file.size:
            page = mmap.PAGESIZE
            start, stop = -(-offset // page) * page, (offset + length) // page * page
            if start < stop:
                file._map.madvise(mmap.MADV_DONTNEED, start, stop - start)


def _copy_on_write(handle: int, size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(handle, size, access=mmap.ACCESS_COPY)
    # Without NORESERVE the kernel may refuse a writable private map of a file larger than memory.
    reserve = _MAP_NORESERVE if hasattr(mmap, "MAP_POPULATE") else 0
    flags, prot = mmap.MAP_PRIVATE | reserve, mmap.PROT_READ | mmap.PROT_WRITE
    return mmap.mmap(handle, size, flags=flags, prot=prot)


class Storage:
    """``nbytes`` bytes of a file from ``start`` on, shared by every tensor that lies in them."""

    def __init__(self, file: MappedFile, start: int, nbytes: int):
        self.file, self.start, self.nbytes = file, start, nbytes
        self._copy: weakref.ref[np.ndarray] | None = None

    def array(self, itemsize: int) -> np.ndarray:
        """``[nbytes]`` uint8: in the map, or one shared copy where an item would be unaligned.

        Vectorised CPU code may assume that each item lies on a multiple of its size.
        """
        if self.start % itemsize == 0:
            return self.file.array[self.start : self.start + self.nbytes]
        copy = self._copy() if self._copy is not None else None
        if copy is None:
            copy = self.file.read(self.start, self.nbytes)
            self._copy = weakref.ref(copy)  # weak: the tensors own it
        return copy


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides in items of a row-major tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def storage_entry(
    name: str,
    storage: Storage,
    dtype: str,
    shape: Sequence[int],
    *,
    offset: int = 0,
    strides: Sequence[int] | None = None,
) -> TensorEntry:
    """Check that the tensor lies in ``storage`` and describe it.

    Args:
        dtype: a name; one that Paddle lacks gives an entry whose ``load`` raises.
        offset, strides: in items; row-major by default.
    Raises:
        CheckpointError: sizes that are no sizes, or that reach outside the storage.
    """
    source = storage.file.path.name
    strides = contiguous_strides(shape) if strides is None else strides
    numbers = (*shape, *strides, offset)
    if len(shape) != len(strides) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
        raise CheckpointError(
            f"{source}: tensor {show(name)} has a size, stride or offset that is not a "
            f"non-negative integer (shape {_show_all(shape)}, strides {_show_all(strides)}, "
            f"offset {show(offset)}). The file is damaged: fetch it again."
        )
    if dtype not in NUMPY_DTYPES:
        return TensorEntry(
            name, tuple(shape), dtype, partial(_no_dtype, name, dtype, source), source
        )
    itemsize = NUMPY_DTYPES[dtype].itemsize
    count = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if count and (last + 1) * itemsize > storage.nbytes:
        raise CheckpointError(
            f"{source}: tensor {show(name)} with shape {_show_all(shape)} and dtype {dtype} needs "
            f"{(last + 1) * itemsize} bytes, but its storage has {storage.nbytes}. The file is "
            f"damaged: fetch it again."
        )
    # A stride of 0 lets a few bytes claim any number of items, which a copy would materialise.
    if count * itemsize > storage.file.size + _EXPANSION_BYTES:
        raise CheckpointError(
            f"{source}: tensor {show(name)} with shape {_show_all(shape)} expands to "
            f"{count * itemsize} bytes, more than its file of {storage.file.size}. Save it "
            f"contiguous."
        )
    load = partial(_load, storage, dtype, tuple(shape), offset, tuple(strides))
    return TensorEntry(name, tuple(shape), dtype, load, source)


def _show_all(values: Sequence[Any]) -> str:
    return "[" + ", ".join(show(v) for v in values[:10]) + (", ...]" if len(values) > 10 else "]")


def _no_dtype(name: str, dtype: str, source: str) -> paddle.Tensor:
    raise CheckpointError(
        f"{source}: tensor {show(name)} has dtype {dtype}, which Paddle lacks. Known: "
        f"{', '.join(NUMPY_DTYPES)}. Convert it before loading."
    )


def _load(storage: Storage, dtype: str, shape: tuple, offset: int, strides: tuple) -> paddle.Tensor:
    if len(shape) > MAX_RANK:
        raise CheckpointError(
            f"{storage.file.path.name}: a tensor has {len(shape)} axes; Paddle has at most "
            f"{MAX_RANK}. Reshape it before saving."
        )
    kind = NUMPY_DTYPES[dtype]
    if 0 in shape:  # nothing to share; DLPack would hand back odd strides
        array = np.empty(shape, kind)
    else:
        array = np.ndarray(
            shape, kind, storage.array(kind.itemsize), offset * kind.itemsize,
            tuple(s * kind.itemsize for s in strides),
        )  # fmt: skip
        if not array.flags.c_contiguous:
            array = np.array(array, order="C")
    tensor = paddle.from_dlpack(array) if array.size else _empty(array)
    return tensor.view(getattr(paddle, dtype)) if dtype in _VIEWED_DTYPES else tensor


def _empty(array: np.ndarray) -> paddle.Tensor:
    return paddle.from_dlpack(array).contiguous()


def described(value: paddle.Tensor | TensorEntry) -> tuple[tuple[int, ...], str]:
    """Shape and dtype name of a tensor, or of one not read yet."""
    dtype = value.dtype
    return tuple(int(n) for n in value.shape), dtype if isinstance(dtype, str) else dtype_name(
        dtype
    )


def loaded(value: paddle.Tensor | TensorEntry) -> paddle.Tensor:
    """The tensor itself."""
    return value.load() if isinstance(value, TensorEntry) else value


def tensor_bytes(tensor: paddle.Tensor) -> np.ndarray:
    """The tensor's items in row-major order as ``[nbytes]`` uint8, without a copy on the CPU."""
    tensor = tensor.detach()
    if not tensor.place.is_cpu_place():
        tensor = tensor.cpu()
    if 0 in tensor.shape:
        return np.empty(0, np.uint8)
    tensor = tensor.contiguous()
    # Only a view of the same item size: Paddle 3.3.1 scales a slice's offset wrongly in the others.
    if dtype_name(tensor.dtype) in _VIEWED_DTYPES:
        tensor = tensor.view("int16" if tensor.element_size() == 2 else "uint8")
    return np.from_dlpack(tensor).reshape(-1).view(np.uint8)
