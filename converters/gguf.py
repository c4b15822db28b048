"""GGUF checkpoints under the Hub's names, shapes and values.

Quantised tensors become float32 when they are loaded, one by one, or keep their blocks; F32, F16
and BF16 stay what they are and share the file's memory map wherever the Hub's values lie in the
file unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any

import numpy as np
import paddle

from hfpaddle.converters.entry import TensorEntry
from hfpaddle.converters.gguf_config import find_family, make_config
from hfpaddle.converters.gguf_header import PLAIN_TYPES, TensorInfo, open_header
from hfpaddle.converters.gguf_names import T5_STACKS, Family
from hfpaddle.converters.gguf_quants import BLOCKS, dequantize
from hfpaddle.converters.mapped import NUMPY_DTYPES, MappedFile, Storage, show, storage_entry
from hfpaddle.core.errors import CheckpointError
from hfpaddle.core.logging import logger

_LAYER = re.compile(r"blk\.(\d+)\.(.+)")
_T5_LAYER = re.compile(r"(enc|dec)\.blk\.(\d+)\.(.+)")
_PIECE_BYTES = 8 << 20  # read at a time, so that a large tensor never lies in memory twice


def read_gguf(path: str | os.PathLike) -> GGUFFile:
    """Open a GGUF file and check its header; no tensor is read.

    Raises:
        MissingFileError: no such file.
        CheckpointError: not GGUF, truncated, malformed, or with a tensor type not read here.
        UnsupportedModelError: an architecture not known here.
    """
    return GGUFFile(path)


class GGUFFile:
    """An open GGUF file.

    Attributes:
        metadata: the file's own key-value table.
        tensors: file name -> :class:`TensorInfo`.
        family: what its architecture calls things.
    """

    def __init__(self, path: str | os.PathLike):
        self._file, header = open_header(path)
        self.path = self._file.path
        self.metadata, self.tensors = header.metadata, header.tensors
        self.family: Family = find_family(self.metadata, self.path.name)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Arguments for transformers' config class, ``model_type`` among them."""
        return make_config(
            self.family, self.metadata, set(self.tensors), self._float32, self.path.name
        )

    @property
    def dtype(self) -> str:
        """What ``dtype="auto"`` means: the half type of an unquantised file, else float32."""
        kinds = {info.type for info in self.tensors.values()}
        names = {PLAIN_TYPES[kind][0] for kind in kinds if kind in PLAIN_TYPES}
        if kinds & set(BLOCKS):
            return "float32"
        return next((half for half in ("bfloat16", "float16") if half in names), "float32")

    def entries(self, names: Iterable[str] | None = None) -> dict[str, TensorEntry]:
        """Every weight under its Hub name.

        Args:
            names: the model's parameters. Given, a name whose first part the model lacks (a bare
                ``LlamaModel`` has no ``model.``) goes without it.
        Returns: a tensor that the architecture does not explain keeps the file's name, for the
            load report to show. Stacked experts come one by one, as on the Hub.
        """
        known = None if names is None else set(names)
        entries: dict[str, TensorEntry] = {}
        for info in self.tensors.values():
            if any(drop in info.name for drop in self.family.dropped):
                logger.debug("%s: %s holds no weight", self.path.name, info.name)
                continue
            for entry in self._entries_of(info):
                name = entry.name
                if known is not None and name not in known and name.partition(".")[2] in known:
                    name = name.partition(".")[2]
                if name in entries:
                    raise CheckpointError(
                        f"{self.path.name}: two tensors are {show(name)}. The file is damaged: "
                        "fetch it again."
                    )
                entries[name] = entry
        return entries

    def _entries_of(self, info: TensorInfo) -> Iterable[TensorEntry]:
        hub, transform = self._hub_name(info.name), self._transform(info.name)
        if "{e}" not in hub:
            yield self._entry(info, hub, info, transform)
            return
        if len(info.shape) != 3:
            raise CheckpointError(
                f"{self.path.name}: tensor {show(info.name)} should hold stacked experts, but has "
                f"shape {list(info.shape)} where 3 axes are needed."
            )
        count, nbytes = info.shape[0], info.nbytes // info.shape[0]
        for expert in range(count):
            part = info._replace(
                shape=info.shape[1:], start=info.start + expert * nbytes, nbytes=nbytes
            )
            yield self._entry(info, hub.replace("{e}", str(expert)), part, transform)

    def _hub_name(self, name: str) -> str:
        stem, dot, suffix = name.rpartition(".")
        if suffix not in ("weight", "bias"):
            stem, dot, suffix = name, "", ""
        if stem in self.family.top:
            return f"{self.family.top[stem]}{dot}{suffix}"
        if self.family.model_type == "t5" and (match := _T5_LAYER.fullmatch(stem)):
            stack, layer = T5_STACKS[match[1]]
            prefix, leaf = f"{stack}.block.{match[2]}.", layer.get(match[3])
            if leaf and leaf.endswith("wi_1") and f"{stem[:-2]}gate.{suffix}" not in self.tensors:
                leaf = leaf.replace("wi_1", "wi")  # the first T5 models have no gate
        elif match := _LAYER.fullmatch(stem):
            prefix = self.family.prefix.format(i=match[1])
            leaf = self.family.layer.get(match[2])
        else:
            return name
        return name if leaf is None else f"{prefix}{leaf}{dot}{suffix}"

    def _transform(self, name: str) -> str | None:
        for part, transform in self.family.transforms.items():
            if part in name:
                return transform
        return None

    def _entry(
        self, whole: TensorInfo, hub: str, info: TensorInfo, transform: str | None
    ) -> TensorEntry:
        dtype = PLAIN_TYPES[info.type][0] if info.type in PLAIN_TYPES else "float32"
        if transform is None and info.type in PLAIN_TYPES:
            storage = Storage(self._file, info.start, info.nbytes)
            return storage_entry(hub, storage, dtype, info.shape)
        change = None
        shape = info.shape
        if transform is not None:
            dtype = "float32" if transform == "minus_one" else dtype
            change = self._change(transform, whole)
            # numpy holds the shape without memory, so the change itself tells the new one.
            shape = change(np.broadcast_to(np.int8(0), shape)).shape
        load = partial(_load, self._file, info, change, dtype)
        block = BLOCKS.get(info.type)
        blocks = None
        if block and len(info.shape) == 2 and transform in (None, *_HEADS):
            blocks = partial(_load_blocks, self._file, info, change)
        return TensorEntry(hub, tuple(shape), dtype, load, self.path.name, block, blocks)

    def _change(self, transform: str, info: TensorInfo) -> Callable[[np.ndarray], np.ndarray]:
        """The function that gives the Hub's values; checks that the tensor fits it."""
        if transform in _SIMPLE:
            return _SIMPLE[transform]
        key = _HEADS[transform]
        heads = self.config.get(key[0], self.config.get(key[-1]))
        parts = 3 if transform == "interleave_qkv" else 2
        if type(heads) is not int or heads < 1 or not info.shape or info.shape[0] % (parts * heads):
            raise CheckpointError(
                f"{self.path.name}: tensor {show(info.name)} of shape {list(info.shape)} does not "
                f"divide into {show(heads)} heads ({key[0]}). The metadata and the tensors "
                "disagree."
            )
        return partial(_interleave_qkv if parts == 3 else _unpermute, heads=heads)

    def _float32(self, name: str) -> np.ndarray:
        return _as_float32(_read(self._file, self.tensors[name]), self.tensors[name].type)


def _read(file: MappedFile, info: TensorInfo) -> np.ndarray:
    """The tensor in fresh memory: float32 for blocks, else the stored type (int16 for bfloat16)."""
    if info.type in PLAIN_TYPES:
        kind = NUMPY_DTYPES[PLAIN_TYPES[info.type][0]]
        return file.read(info.start, info.nbytes).view(kind).reshape(info.shape)
    block = BLOCKS[info.type]
    count = info.nbytes // block.bytes
    out = np.empty(count * block.weights, np.float32)
    step = _PIECE_BYTES // block.bytes
    for first in range(0, count, step):
        last = min(first + step, count)
        data = file.read(info.start + first * block.bytes, (last - first) * block.bytes)
        dequantize(data, block, out[first * block.weights : last * block.weights])
    return out.reshape(info.shape)


def _as_float32(values: np.ndarray, kind: int) -> np.ndarray:
    if kind in PLAIN_TYPES and PLAIN_TYPES[kind][0] == "bfloat16":
        return (values.astype(np.int32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False)


def _load(file: MappedFile, info: TensorInfo, change: Callable | None, dtype: str) -> paddle.Tensor:
    values = _read(file, info)
    if change is not None:
        values = change(_as_float32(values, info.type) if dtype == "float32" else values)
    tensor = paddle.from_dlpack(np.ascontiguousarray(values))
    return tensor.view(dtype) if dtype == "bfloat16" else tensor


def _load_blocks(file: MappedFile, info: TensorInfo, change: Callable | None) -> paddle.Tensor:
    """The bytes of each row as they are; ``change`` moves whole rows."""
    shape = (info.shape[0], info.nbytes // info.shape[0])
    if change is None:
        return storage_entry(
            info.name, Storage(file, info.start, info.nbytes), "uint8", shape
        ).load()
    rows = change(file.read(info.start, info.nbytes).reshape(shape))
    return paddle.from_dlpack(np.ascontiguousarray(rows))


def _unpermute(values: np.ndarray, heads: int) -> np.ndarray:
    """Undo llama.cpp's order of rotary pairs: side by side -> all first parts, then all second."""
    half = values.shape[0] // heads // 2
    split = values.reshape(heads, half, 2, *values.shape[1:])
    return split.swapaxes(1, 2).reshape(values.shape)


def _interleave_qkv(values: np.ndarray, heads: int) -> np.ndarray:
    """All queries, all keys, all values -> the three of each head together."""
    split = values.reshape(3, heads, -1, *values.shape[1:])
    return split.swapaxes(0, 1).reshape(values.shape)


def _minus_one(values: np.ndarray) -> np.ndarray:
    return values - values.dtype.type(1)


def _as_one_row(values: np.ndarray) -> np.ndarray:
    return values[None] if values.ndim == 1 else values


_SIMPLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "minus_one": _minus_one,
    "transpose": np.transpose,
    "as_one_row": _as_one_row,
}
# These move whole rows.
# Transform -> the config key that counts its heads, then the one that it defaults to.
_HEADS = {
    "unpermute_heads": ("num_attention_heads",),
    "unpermute_kv_heads": ("num_key_value_heads", "num_attention_heads"),
    "interleave_qkv": ("n_head",),
}
