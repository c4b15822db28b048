"""State dicts on disk: numbers as JSON, tensors as safetensors; nothing is pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from hfpaddle.converters.safetensors import read_safetensors, write_safetensors
from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError
from hfpaddle.core.files import write_text


def write_state(folder: Path, name: str, state: Any) -> None:
    """Write ``<name>.json`` and, if there are tensors, ``<name>.safetensors``.

    Args:
        state: dicts, lists, tuples, numbers, strings, None, tensors and arrays, nested.
    Raises: UnsupportedArgumentError for anything else inside.
    """
    tensors: dict[str, paddle.Tensor] = {}
    plain = _pack(state, tensors, name)
    write_text(folder / f"{name}.json", json.dumps(plain))
    if tensors:
        write_safetensors(folder / f"{name}.safetensors", tensors, {"format": "pd"})


def read_state(folder: Path, name: str) -> Any:
    """Return what `write_state` wrote.

    Raises: CheckpointError for files that do not fit together.
    """
    try:
        plain = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / name}.json is damaged: {error}") from error
    path = folder / f"{name}.safetensors"
    entries = read_safetensors(path) if path.exists() else {}
    try:
        return _unpack(plain, entries)
    except KeyError as error:
        raise CheckpointError(
            f"{path} lacks the tensor {error}. Use another checkpoint."
        ) from error


def _pack(value: Any, tensors: dict[str, paddle.Tensor], where: str) -> Any:
    if isinstance(value, paddle.Tensor):
        key = str(len(tensors))
        tensors[key] = value.detach()
        return {"kind": "tensor", "key": key}
    if isinstance(value, np.ndarray):
        return {"kind": "array", "dtype": value.dtype.str, "values": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        items = [
            [_pack(k, tensors, where), _pack(v, tensors, f"{where}.{k}")] for k, v in value.items()
        ]
        return {"kind": "dict", "items": items}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {"kind": kind, "items": [_pack(v, tensors, where) for v in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UnsupportedArgumentError(
        f"{where} holds a {type(value).__name__}, which a checkpoint cannot keep. A state_dict() "
        "may hold numbers, strings, tensors, arrays, lists, tuples and dicts."
    )


def _unpack(value: Any, entries: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["kind"]
    if kind == "tensor":
        return entries[value["key"]].load().clone()
    if kind == "array":
        return np.array(value["values"], dtype=np.dtype(value["dtype"]))
    items = value["items"]
    if kind == "dict":
        return {_unpack(k, entries): _unpack(v, entries) for k, v in items}
    unpacked = [_unpack(v, entries) for v in items]
    return unpacked if kind == "list" else tuple(unpacked)
