"""The header of a GGUF file: metadata, and where each tensor lies.

Every count and offset is checked against the bytes that are there before anything is allocated or
repeated. The ``gguf`` package is not used to read: it makes an object for each of a vocabulary's
tokens, which takes ten seconds for 262 144 of them, and believes the counts it finds.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any, NamedTuple

import numpy as np

from hfpaddle.converters.gguf_quants import BLOCKS, OTHER_TYPES
from hfpaddle.converters.mapped import MappedFile, show
from hfpaddle.core.errors import CheckpointError

_SCALARS = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("<b1"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
_STRING, _ARRAY = 8, 9
PLAIN_TYPES = {
    0: ("float32", 4),
    1: ("float16", 2),
    24: ("int8", 1),
    25: ("int16", 2),
    26: ("int32", 4),
    27: ("int64", 8),
    28: ("float64", 8),
    30: ("bfloat16", 2),
}
_MAX_AXES = 4  # ggml's own limit
_SMALLEST_PAIR = 8 + 4 + 1  # an empty key, its type, one byte
_SMALLEST_TENSOR = 8 + 4 + 4 + 8  # an empty name, no axes, type, offset


class TensorInfo(NamedTuple):
    """A tensor as the file declares it.

    Attributes:
        shape: in the Hub's order, slowest axis first.
        type: ggml's number; a key of ``PLAIN_TYPES`` or ``BLOCKS``.
        start, nbytes: its place in the file.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    start: int
    nbytes: int


class Header(NamedTuple):
    """``metadata`` holds numbers, strings, lists of strings and numpy arrays."""

    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]


class _Cursor:
    def __init__(self, file: MappedFile):
        self.file, self.data, self.at = file, memoryview(file.array), 0

    def fail(self, problem: str) -> CheckpointError:
        return CheckpointError(
            f"{self.file.path.name}: {problem} (at byte {self.at} of {self.file.size}). "
            "The file is truncated or damaged: fetch it again."
        )

    def take(self, nbytes: int) -> memoryview:
        if nbytes > self.file.size - self.at:
            raise self.fail(f"{nbytes} bytes are declared where {self.left} are left")
        self.at += nbytes
        return self.data[self.at - nbytes : self.at]

    @property
    def left(self) -> int:
        return self.file.size - self.at

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        raw = self.take(self.number("<Q"))
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"a string is not UTF-8: {error}") from error

    def expect(self, count: int, smallest: int, what: str) -> int:
        """Refuse a count of items that the rest of the file cannot hold."""
        if count * smallest > self.left:
            raise self.fail(f"{count} {what} are declared where {self.left} bytes are left")
        return count

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return np.frombuffer(self.take(_SCALARS[kind].itemsize), _SCALARS[kind])[0].item()
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            raise self.fail(f"metadata of unknown type {kind}")
        item, count = self.number("<I"), self.number("<Q")
        if item in _SCALARS:
            self.expect(count, _SCALARS[item].itemsize, "array items")
            return np.frombuffer(self.take(count * _SCALARS[item].itemsize), _SCALARS[item]).copy()
        if item != _STRING:
            raise self.fail(f"an array of items of type {item}; only numbers and strings are known")
        self.expect(count, 8, "strings")
        return [self.text() for _ in range(count)]


def read_header(file: MappedFile) -> Header:
    """Parse and check the header of ``file``.

    Raises: CheckpointError if the file is no GGUF, of an unknown version or byte order, truncated,
        or inconsistent: a repeated name, a tensor outside the file or on top of another.
    """
    cursor = _Cursor(file)
    if bytes(file.array[:4]) != b"GGUF":
        raise CheckpointError(
            f"{file.path.name} is no GGUF file: it starts with {bytes(file.array[:4])!r} and not "
            "b'GGUF'. A text page or a Git LFS pointer in its place means the download failed."
        )
    cursor.at = 4
    version = cursor.number("<I")
    if version not in (2, 3):
        order = " It is big-endian." if version & 0xFFFF == 0 and version else ""
        raise CheckpointError(
            f"{file.path.name} is GGUF version {version}; versions 2 and 3, little-endian, are "
            f"read.{order} Convert it anew with llama.cpp."
        )
    tensor_count, pair_count = cursor.number("<Q"), cursor.number("<Q")
    cursor.expect(tensor_count, _SMALLEST_TENSOR, "tensors")
    cursor.expect(pair_count, _SMALLEST_PAIR, "metadata entries")
    metadata: dict[str, Any] = {}
    for _ in range(pair_count):
        key = cursor.text()
        if key in metadata:
            raise cursor.fail(f"the metadata key {show(key)} comes twice")
        metadata[key] = cursor.value(cursor.number("<I"))
    declared = [_declaration(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1):
        raise cursor.fail(f"general.alignment is {show(alignment)}, not a power of two from 8 on")
    base = -(-cursor.at // alignment) * alignment
    return Header(metadata, _place(cursor, declared, base, alignment))


def _declaration(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.text()
    axes = cursor.number("<I")
    if axes > _MAX_AXES:
        raise cursor.fail(f"tensor {show(name)} has {axes} axes; ggml has at most {_MAX_AXES}")
    shape = struct.unpack(f"<{axes}Q", cursor.take(8 * axes))[::-1]
    if 0 in shape:
        raise cursor.fail(f"tensor {show(name)} has an axis of size 0")
    kind, offset = cursor.number("<I"), cursor.number("<Q")
    return name, shape, kind, offset


def _place(cursor: _Cursor, declared: list, base: int, alignment: int) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for name, shape, kind, offset in declared:
        nbytes = _size(cursor, name, shape, kind)
        start = base + offset
        if offset % alignment:
            raise cursor.fail(f"tensor {show(name)} begins at {offset}, no multiple of {alignment}")
        if start + nbytes > cursor.file.size:
            raise cursor.fail(
                f"tensor {show(name)} needs bytes {start} to {start + nbytes}, past the end"
            )
        if name in tensors:
            raise cursor.fail(f"the tensor {show(name)} comes twice")
        tensors[name] = TensorInfo(name, shape, kind, start, nbytes)
    end, last = base, ""
    for info in sorted(tensors.values(), key=lambda info: info.start):
        if info.nbytes and info.start < end:
            raise cursor.fail(f"the tensors {show(last)} and {show(info.name)} overlap")
        end, last = max(end, info.start + info.nbytes), info.name
    return tensors


def _size(cursor: _Cursor, name: str, shape: tuple[int, ...], kind: int) -> int:
    count = math.prod(shape)
    if kind in PLAIN_TYPES:
        return count * PLAIN_TYPES[kind][1]
    if kind not in BLOCKS:
        known = [*(t for t, _ in PLAIN_TYPES.values()), *(b.name for b in BLOCKS.values())]
        raise CheckpointError(
            f"{cursor.file.path.name}: tensor {show(name)} has type "
            f"{OTHER_TYPES.get(kind, 'number')} ({kind}), which is not read here. Known: "
            f"{', '.join(known)}. Quantise the model to one of them, for instance Q4_K_M."
        )
    block = BLOCKS[kind]
    if not shape or shape[-1] % block.weights:
        raise cursor.fail(
            f"tensor {show(name)} of type {block.name} has rows of {shape[-1:]} weights, no "
            f"multiple of {block.weights}"
        )
    return count // block.weights * block.bytes


def open_header(path: str | os.PathLike) -> tuple[MappedFile, Header]:
    """Map ``path`` and read its header; errors as in :func:`read_header` and ``MappedFile``."""
    file = MappedFile(path)
    return file, read_header(file)
