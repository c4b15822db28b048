"""A nested value with tensors as one safetensors file: exact, and nothing in it can run.

Tensors are stored as they are; the value around them is JSON in the file's metadata, each container
tagged with its type, dictionaries as pairs so that keys keep theirs.
"""

from __future__ import annotations

import base64
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import paddle

from hfpaddle.converters.safetensors import read_metadata, read_safetensors, write_safetensors
from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError

_KEY = "hfpaddle.tree"


def _encode(value: Any, tensors: dict[str, paddle.Tensor], path: str) -> Any:
    def inner(items: Any) -> list[Any]:
        return [_encode(item, tensors, f"{path}[{i}]") for i, item in enumerate(items)]

    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, (paddle.Tensor, np.ndarray)):
        kind = "tensor" if isinstance(value, paddle.Tensor) else "numpy"
        tensor = value if isinstance(value, paddle.Tensor) else _from_numpy(value, path)
        name = str(len(tensors))
        tensors[name] = tensor.detach() if kind == "tensor" else tensor
        return {kind: name, "dtype": str(value.dtype)} if kind == "numpy" else {kind: name}
    if isinstance(value, np.generic):
        return _encode(value.item(), tensors, path)
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        pairs = [
            [_encode(k, tensors, f"{path} key"), _encode(v, tensors, f"{path}[{k!r}]")]
            for k, v in value.items()
        ]
        return {"ordered" if isinstance(value, OrderedDict) else "dict": pairs}
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return {kind.__name__: inner(value)}
    raise UnsupportedArgumentError(
        f"A state holds a {type(value).__name__} at {path}; it may hold tensors, arrays, numbers, "
        "text, bytes, None, lists, tuples, sets and dictionaries. Let state_dict() return those."
    )


def _from_numpy(value: np.ndarray, path: str) -> paddle.Tensor:
    if value.dtype.kind not in "biuf":
        raise UnsupportedArgumentError(
            f"A state holds an array of dtype {value.dtype} at {path} (numbers only)."
        )
    return paddle.to_tensor(np.frombuffer(value.tobytes(), np.uint8).copy()).reshape(
        [*value.shape, value.dtype.itemsize]
    )


def _decode(value: Any, tensors: Mapping[str, paddle.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    (kind, inner), *rest = value.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "numpy":
        raw = tensors[inner].numpy()
        return np.frombuffer(raw.tobytes(), np.dtype(rest[0][1])).reshape(raw.shape[:-1]).copy()
    if kind == "bytes":
        return base64.b64decode(inner)
    if kind in ("dict", "ordered"):
        pairs = [(_decode(k, tensors), _decode(v, tensors)) for k, v in inner]
        return dict(pairs) if kind == "dict" else OrderedDict(pairs)
    return {"list": list, "tuple": tuple, "set": set}[kind](
        _decode(item, tensors) for item in inner
    )


def save_tree(value: Any, path: str | os.PathLike) -> None:
    """Write ``value``; the old file stays whole until the new one is.

    Raises: UnsupportedArgumentError naming the place of anything that is no plain data.
    """
    tensors: dict[str, paddle.Tensor] = {}
    text = json.dumps(_encode(value, tensors, "state"))
    write_safetensors(path, tensors, {_KEY: text})


def load_tree(path: str | os.PathLike) -> Any:
    """Return what :func:`save_tree` wrote. Tensors own their memory.

    Raises: CheckpointError for any other file; MissingFileError if there is none.
    """
    metadata = read_metadata(path)
    if _KEY not in metadata:
        raise CheckpointError(f"{path} holds tensors, but was not written as a training state.")
    tensors = {name: entry.load().clone() for name, entry in read_safetensors(path).items()}
    try:
        return _decode(json.loads(metadata[_KEY]), tensors)
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}. Use another checkpoint.") from error
