"""Builders of checkpoint files for the tests beside them: torch's formats without torch."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np


class Global:
    """A name that a pickle refers to; it need not exist here."""

    def __init__(self, module: str, name: str):
        self.text = f"c{module}\n{name}\n".encode()

    def __call__(self):
        raise AssertionError("only pickled, never called")


class Reduced:
    """A call that a pickle asks for."""

    def __init__(self, function: Any, *arguments: Any):
        self.function, self.arguments = function, arguments


class Stored:
    """A storage, which torch pickles as a persistent id."""

    def __init__(self, kind: str, key: str, count: int, *view: Any):
        self.id = ("storage", Global("torch", kind), key, "cpu", count, *view)


class _Pickler(pickle._Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.id if isinstance(obj, Stored) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self.write(obj.text)
        elif isinstance(obj, Reduced):
            self.save_reduce(obj.function, obj.arguments)
        else:
            super().save(obj, save_persistent_id)


def pickled(value: Any) -> bytes:
    """Protocol 2, as torch writes."""
    out = io.BytesIO()
    _Pickler(out, 2).dump(value)
    return out.getvalue()


REBUILD = Global("torch._utils", "_rebuild_tensor_v2")


def tensor(
    kind: str, key: str, count: int, size: tuple, stride: tuple, offset: int = 0, extra: tuple = ()
) -> Reduced:
    """What torch writes for a tensor on storage ``key`` of ``count`` items."""
    storage = Stored(kind, key, count)
    return Reduced(REBUILD, storage, offset, size, stride, False, OrderedDict(), *extra)


BASE = np.arange(24, dtype="<f4")
HALF = np.array([0x3F80, 0x4000, 0xBF80], "<u2")  # 1, 2, -1 in bfloat16


def state() -> dict[str, Any]:
    """Row-major, transposed, sliced, tied and 0-d tensors on two storages, and other values."""
    return OrderedDict(
        full=tensor("FloatStorage", "0", 24, (4, 6), (6, 1)),
        tied=tensor("FloatStorage", "0", 24, (4, 6), (6, 1)),
        rows=tensor("FloatStorage", "0", 24, (2, 6), (6, 1), 12),
        turned=tensor("FloatStorage", "0", 24, (6, 4), (1, 6)),
        scalar=tensor("FloatStorage", "0", 24, (), (), 5),
        half=tensor("BFloat16Storage", "1", 3, (3,), (1,)),
        steps=3,
        note="text",
    )


def zip_bytes(
    value: Any, storages: dict[str, bytes] | None = None, order: bytes = b"little",
    compression: int = zipfile.ZIP_STORED,
) -> bytes:  # fmt: skip
    """A file of ``torch.save`` since 1.6."""
    storages = {"0": BASE.tobytes(), "1": HALF.tobytes()} if storages is None else storages
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("m/data.pkl", pickled(value))
        archive.writestr("m/byteorder", order)
        for key, raw in storages.items():
            archive.writestr(f"m/data/{key}", raw)
        archive.writestr("m/version", b"3\n")
    return out.getvalue()


def legacy_bytes(value: Any, little: bool = True, counts: dict[str, int] | None = None) -> bytes:
    """A file of ``torch.save`` before 1.6."""
    system = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}
    head = [0x1950A86A20F9469CFC6C, 1001, system, value, ["0", "1"]]
    counts = counts or {"0": BASE.size, "1": HALF.size}
    return (
        b"".join(map(pickled, head))
        + struct.pack("<q", counts["0"])
        + BASE.tobytes()
        + struct.pack("<q", counts["1"])
        + HALF.tobytes()
    )


def safetensors_bytes(header: Any, data: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file with any header, and any claim of the header's size."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def written(folder: Path, name: str, data: bytes) -> Path:
    """``folder/name`` with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path


def maps_of(path: Path) -> int:
    """How often this process maps ``path`` (Linux)."""
    return Path("/proc/self/maps").read_text().count(str(path))
