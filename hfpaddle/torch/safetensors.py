"""``safetensors.torch`` over Paddle's tensors: same names, same files, same refusals.

Files are read by :mod:`hfpaddle.converters.safetensors`, which maps them: a tensor shares the map,
and writing to it does not reach the file. ``safe_open`` stands for ``safetensors.safe_open``, and
gives scripts what that gives for ``framework="pt"``.
"""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import safetensors
from safetensors import SafetensorError, deserialize

from hfpaddle.converters.mapped import NUMPY_DTYPES
from hfpaddle.converters.safetensors import (
    DTYPES,
    read_metadata,
    read_safetensors,
    write_safetensors,
)
from hfpaddle.core.errors import CheckpointError
from hfpaddle.torch._convert import moved

Tensor = paddle.Tensor

__all__ = ["load", "load_file", "load_model", "safe_open", "save", "save_file", "save_model"]

_CODES = {dtype: code for code, dtype in DTYPES.items()}
_OURS = ("pt", "torch", "pytorch", "paddle")
_library_open = inspect.unwrap(safetensors.safe_open)  # the hook may stand before it


class _Slice:
    """A tensor of a file, of which only what is indexed is read."""

    def __init__(self, file: _Reader, name: str) -> None:
        self._file, self._name = file, name

    def get_shape(self) -> list[int]:
        """Its shape."""
        return list(self._file.entry(self._name).shape)

    def get_dtype(self) -> str:
        """The format's name of its dtype: "F32", "BF16"."""
        return _CODES[self._file.entry(self._name).dtype]

    def __getitem__(self, index: Any) -> Tensor:
        part = self._file.entry(self._name).load()[index]
        return moved(part, None, self._file.device)


class _Reader:
    def __init__(self, filename: Any, device: Any = "cpu") -> None:
        path = os.fspath(filename)
        if not os.path.exists(path):
            raise FileNotFoundError(f"No such file or directory: {path}")
        try:
            self._entries = read_safetensors(path)
            self._metadata = read_metadata(path)
        except CheckpointError as error:
            raise SafetensorError(str(error)) from error
        self.device = device

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: Any) -> None:
        self._entries = {}

    def entry(self, name: str) -> Any:
        try:
            return self._entries[name]
        except KeyError:
            raise SafetensorError(f"File does not contain tensor {name}") from None

    def keys(self) -> list[str]:
        """Names in alphabetical order."""
        return sorted(self._entries)

    def offset_keys(self) -> list[str]:
        """Names in the order of the file."""
        return list(self._entries)

    def metadata(self) -> dict[str, str] | None:
        """The table of the header, if it has one."""
        return self._metadata or None

    def get_tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return moved(self.entry(name).load(), None, self.device)

    def get_tensors(self) -> dict[str, Tensor]:
        """All tensors."""
        return {name: self.get_tensor(name) for name in self._entries}

    def get_slice(self, name: str) -> _Slice:
        """The tensor of that name, to be read in part."""
        self.entry(name)
        return _Slice(self, name)


def safe_open(filename: Any, framework: str, device: Any = "cpu", **options: Any) -> Any:
    """Open a file for reading tensor by tensor, as a context manager.

    ``framework`` "pt" and "paddle" give Paddle tensors; others are left to the library.
    """
    if framework in _OURS:
        return _Reader(filename, device)
    return _library_open(filename, framework, device=device, **options)


def load_file(filename: Any, device: Any = "cpu", *, backend: str = "mmap") -> dict[str, Tensor]:
    """Every tensor of a file. ``backend`` is accepted: files are always mapped.

    Raises: FileNotFoundError, or SafetensorError for a damaged file.
    """
    return _Reader(filename, device).get_tensors()


def load(data: bytes) -> dict[str, Tensor]:
    """Every tensor of a file's bytes. Raises: SafetensorError if they are no such file."""
    found = {}
    for name, part in deserialize(data):
        dtype = DTYPES.get(part["dtype"], part["dtype"])
        if dtype not in NUMPY_DTYPES or not hasattr(paddle, dtype):
            raise SafetensorError(f"{name}: Paddle has no dtype {part['dtype']}")
        array = np.frombuffer(bytes(part["data"]), np.uint8)
        tensor = paddle.to_tensor(array).view(getattr(paddle, dtype)) if array.size else (
            paddle.empty([0], dtype)
        )  # fmt: skip
        found[name] = paddle.reshape(tensor, part["shape"])
    return found


def save_file(tensors: dict[str, Tensor], filename: Any, metadata: dict | None = None) -> None:
    """Write tensors to a file, whole or not at all.

    Raises: RuntimeError for tensors that share memory, ValueError for ones that are not contiguous.
    """
    _check(tensors)
    write_safetensors(filename, tensors, metadata or {})


def save(tensors: dict[str, Tensor], metadata: dict | None = None) -> bytes:
    """The bytes of the file that :func:`save_file` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensors.safetensors"
        save_file(tensors, path, metadata)
        return path.read_bytes()


def save_model(
    model: Any, filename: Any, metadata: dict[str, str] | None = None, force_contiguous: bool = True
) -> None:
    """Write a module's state: of tensors that share memory the one that covers it all.

    The names that are left out are noted in the metadata with the one that was kept.
    """
    state = dict(model.state_dict())
    metadata = dict(metadata or {})
    for kept, names in _duplicates(state).items():
        for name in names:
            metadata.setdefault(name, kept)
            del state[name]
    if force_contiguous:
        state = {name: value.contiguous() for name, value in state.items()}
    try:
        save_file(state, filename, metadata)
    except ValueError as error:
        raise ValueError(
            f"{error} Or use save_model(..., force_contiguous=True), read the docs for potential "
            "caveats."
        ) from error


def load_model(
    model: Any, filename: Any, strict: bool = True, device: Any = "cpu", *, backend: str = "mmap"
) -> tuple[Any, list[str]]:
    """Load a file that :func:`save_model` wrote; returns the names missing and unexpected.

    Raises: RuntimeError for missing or unexpected names if ``strict``.
    """
    state = load_file(filename, device)
    left_out = _duplicates(model.state_dict(), preferred=state)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing, unexpected = set(missing), list(unexpected)
    for name in (name for names in left_out.values() for name in names):
        if name in missing:
            missing.remove(name)
        else:
            unexpected.append(name)
    if strict and (missing or unexpected):
        text = f"Error(s) in loading state_dict for {type(model).__name__}:"
        for title, names in (("Missing", missing), ("Unexpected", unexpected)):
            if names:
                listed = ", ".join(json.dumps(name) for name in sorted(names))
                text += f"\n    {title} key(s) in state_dict: {listed}"
        raise RuntimeError(text)
    return missing, unexpected


# Tensors that share memory


def _span(x: Tensor) -> tuple[int, int]:
    """First and last address of a contiguous tensor's items."""
    start = x.data_ptr()
    return start, start + x._numel() * x.element_size()


def _shared(tensors: dict[str, Tensor]) -> list[set[str]]:
    """Groups of names whose memory overlaps."""
    by_memory = defaultdict(list)
    for name, x in tensors.items():
        if not getattr(x, "_is_meta", False) and 0 not in x.shape and x._holder_size():
            by_memory[str(x.place), x.data_ptr() - x.offset].append((*_span(x), name))
    groups: list[set[str]] = []
    for members in by_memory.values():
        end = -1
        for start, stop, name in sorted(members):
            if start >= end:
                groups.append(set())
            groups[-1].add(name)
            end = stop
    return groups


def _duplicates(
    state: dict[str, Tensor], preferred: Iterable[str] = ()
) -> dict[str, list[str]]:  # fmt: skip
    """Of each group of tensors that share memory the name to keep, and those to leave out."""
    found: dict[str, list[str]] = {}
    for group in _shared(state):
        whole = {n for n in group if state[n]._numel() * state[n].element_size()
                 == state[n]._holder_size()}  # fmt: skip
        if not whole:
            raise RuntimeError(
                "Error while trying to find names to remove to save state dict, but found no "
                f"suitable name to keep for saving amongst: {group}. None is covering the entire "
                "storage. Refusing to save/load the model since you could be storing much more "
                "memory than needed. Save copies: tensor.clone()."
            )
        kept = min(whole & set(preferred) or whole)
        if len(group) > 1:
            found[kept] = sorted(group - {kept})
    return found


def _check(tensors: Any) -> None:
    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    for name, x in tensors.items():
        if not isinstance(x, Tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received "
                             f"{type(x)}")  # fmt: skip
    if sparse := [name for name, x in tensors.items() if not x.is_dense()]:
        raise ValueError(
            f"You are trying to save a sparse tensors: `{sparse}` which this library does not "
            "support. Make them dense first: .to_dense()."
        )
    if failing := [group for group in _shared(tensors) if len(group) > 1]:
        raise RuntimeError(
            "Some tensors share memory, this will lead to duplicate memory on disk and potential "
            f"differences when loading them again: {failing}. Use `save_model`, or save copies."
        )
    for name, x in tensors.items():
        if not x.is_contiguous():
            raise ValueError(
                f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. "
                "Call `.contiguous()` on it, or save the full tensor of which it is a part."
            )
