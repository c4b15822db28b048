"""The safetensors format: zero-copy reading and streamed writing.

Layout: 8 bytes little-endian header size, a JSON header padded with spaces, then the items of each
tensor. Source: https://github.com/huggingface/safetensors (README, "Format"). The library itself
checks a file before it is mapped; its own Paddle reader is not used, because fetching one tensor
twice through it aborts the process when the tensors are freed (safetensors 0.8.0).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paddle
from safetensors import SafetensorError, safe_open

from hfpaddle.converters.entry import TensorEntry
from hfpaddle.converters.mapped import (
    NUMPY_DTYPES,
    MappedFile,
    Storage,
    described,
    loaded,
    storage_entry,
    tensor_bytes,
)
from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError
from hfpaddle.core.files import atomic_path

# In the order of the library's own enum, which decides the order of tensors inside a file.
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
_CODES = {name: code for code, name in DTYPES.items() if name != "uint16"}
_RANK = {code: rank for rank, code in enumerate(DTYPES)}


def read_safetensors(path: str | os.PathLike) -> dict[str, TensorEntry]:
    """Describe every tensor of a ``.safetensors`` file, in the order of the file.

    ``load`` of an entry gives a tensor that shares one copy-on-write map of the file, so loading
    twice gives two tensors on the same memory. A dtype that Paddle lacks raises in ``load``.

    Raises:
        MissingFileError: no such file.
        CheckpointError: truncated, malformed or inconsistent.
    """
    file, header, base = _open(path)
    entries = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        start, stop = info["data_offsets"]
        dtype = DTYPES.get(info["dtype"], info["dtype"])
        entries[name] = storage_entry(
            name, Storage(file, base + start, stop - start), dtype, tuple(info["shape"])
        )
    return entries


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """The ``__metadata__`` table of the header; empty if there is none. Errors as above."""
    return dict(_open(path)[1].get("__metadata__") or {})


def _open(path: str | os.PathLike) -> tuple[MappedFile, dict[str, Any], int]:
    """The mapped file, its header, and where the tensors begin."""
    file = MappedFile(path)
    try:
        with safe_open(str(path), framework="np"):
            pass
        size = int.from_bytes(file.bytes(0, 8), "little")
        header = json.loads(file.bytes(8, 8 + size).decode("utf-8"))
        _check(header, file.size - 8 - size)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise CheckpointError(
            f"{file.path.name} ({file.size} bytes) is not a valid safetensors file: {error}. It is "
            f"truncated or damaged: fetch it again."
        ) from error
    return file, header, 8 + size


def _check(header: dict[str, Any], room: int) -> None:
    """Hold before mapping what the library promised: nothing here may reach outside the file."""
    for name, info in header.items():
        if name == "__metadata__":
            continue
        start, stop = info["data_offsets"]
        if not 0 <= start <= stop <= room:
            raise ValueError(f"tensor {name[:80]!r} ends at byte {stop} of {room}")


def write_safetensors(
    path: str | os.PathLike,
    tensors: Mapping[str, paddle.Tensor | TensorEntry],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``tensors`` as the library does: same header, same order, same bytes.

    Streams one tensor after another, so memory grows by one tensor at most, and only if that is not
    a contiguous CPU tensor. The old file stays whole until the new one is.

    Args:
        tensors: name -> tensor, or an entry that is loaded when its turn comes.
        metadata: ``{"format": "pt"}`` by default, which transformers writes and expects.
    Raises:
        UnsupportedArgumentError: a dtype that the format lacks.
    """
    metadata = {"format": "pt"} if metadata is None else dict(metadata)
    shapes = {name: _described(name, value) for name, value in tensors.items()}
    names = sorted(tensors, key=lambda name: (-_RANK[shapes[name][1]], name.encode("utf-8")))
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name in names:
        shape, code = shapes[name]
        stop = position + math.prod(shape) * NUMPY_DTYPES[DTYPES[code]].itemsize
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [position, stop]}
        position = stop
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(tensor_bytes(loaded(tensors[name])).data)


def _described(name: str, value: paddle.Tensor | TensorEntry) -> tuple[tuple[int, ...], str]:
    shape, dtype = described(value)
    if dtype not in _CODES or name == "__metadata__":
        raise UnsupportedArgumentError(
            f"write_safetensors: tensor {name!r} of dtype {dtype} cannot be written. The format "
            f"has: {', '.join(_CODES)}, and reserves the name __metadata__."
        )
    return shape, _CODES[dtype]
