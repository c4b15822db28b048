"""Files of ``paddle.save`` (``.pdparams``), and PaddleNLP's layout of a model in them.

A file is a pickle of ``{name: array}``, or of ``{name: (parameter name, array)}``; arrays of uint16
are bfloat16. Source: ``paddle/framework/io.py`` of Paddle 3.3. PaddleNLP keeps the weights of
linear layers as ``[in, out]`` and has names of its own: source, the ``_get_name_mappings`` of its
models. PaddleFormers since 1.0 writes the Hub's names and layout as safetensors, and needs nothing
from here.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import paddle

from hfpaddle.converters.entry import TensorEntry
from hfpaddle.converters.mapped import (
    NUMPY_DTYPES,
    MappedFile,
    Storage,
    contiguous_strides,
    described,
    loaded,
    show,
    storage_entry,
    tensor_bytes,
)
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
from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError
from hfpaddle.core.files import atomic_path

_NAME_TABLE = "StructuredToParameterName@@"
_PARTS_TABLE = "UnpackBigParamInfor@@"  # Paddle's spelling
_CODES = {
    "bool": "b1",
    "uint8": "u1",
    "int8": "i1",
    "int16": "i2",
    "int32": "i4",
    "int64": "i8",
    "float16": "f2",
    "bfloat16": "u2",
    "float32": "f4",
    "float64": "f8",
    "complex64": "c8",
    "complex128": "c16",
}
_DTYPES = {code: name for name, code in _CODES.items()}


@dataclass
class _NumpyDType(Buildable):
    code: str

    def build(self, state: Any) -> None:
        if state[1] not in ("<", "|", "="):
            raise CheckpointError(
                "the file was saved on a big-endian machine. Save it again on a little-endian one."
            )


@dataclass
class _Array(Buildable):
    """What the pickle says of a numpy array; nothing is read."""

    shape: tuple = ()
    code: str = ""
    fortran: bool = False
    data: Any = None

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _NumpyDType) or not isinstance(shape, tuple):
            raise TypeError("array state")
        self.shape, self.code, self.fortran, self.data = shape, dtype.code, bool(fortran), data


def _dtype(code: Any, *_: Any) -> _NumpyDType:
    if not isinstance(code, str):
        raise TypeError("dtype")
    return _NumpyDType(code)


def _opaque(*_: Any) -> Opaque:
    return Opaque()


_NAMES: dict[str, Any] = {
    "collections.OrderedDict": Call(pairs_dict),
    "builtins.set": Call(scalar_set),
    "builtins.tuple": Call(lambda items=(): tuple(items)),
    "builtins.bytes": Call(no_bytes),
    "_codecs.encode": Call(encoded),
    "numpy.ndarray": Opaque(),
    "numpy.dtype": Call(_dtype),
    "numpy.core.multiarray._reconstruct": Call(lambda *_: _Array()),
    "numpy._core.multiarray._reconstruct": Call(lambda *_: _Array()),
    "numpy.core.multiarray.scalar": Call(_opaque),
    "numpy._core.multiarray.scalar": Call(_opaque),
}


class _Encoded(Storage):
    """Items that protocol 2 wrote as text: each byte a character, in UTF-8."""

    def __init__(self, file: MappedFile, start: int, stop: int, nbytes: int):
        super().__init__(file, start, nbytes)
        self.stop = stop

    def array(self, itemsize: int) -> np.ndarray:
        try:
            raw = self.file.read(self.start, self.stop - self.start).tobytes()
            items = raw.decode("utf-8").encode("latin-1")
        except UnicodeError as error:
            raise CheckpointError(f"{self.file.path.name}: damaged array data: {error}.") from error
        if len(items) != self.nbytes:
            raise CheckpointError(
                f"{self.file.path.name}: an array has {len(items)} bytes instead of {self.nbytes}. "
                f"The file is damaged: fetch it again."
            )
        return np.frombuffer(bytearray(items), np.uint8)


class _InMemory(Storage):
    """Items short enough that the pickle reader has already taken them."""

    def __init__(self, file: MappedFile, items: bytes):
        super().__init__(file, 0, len(items))
        self.items = items

    def array(self, itemsize: int) -> np.ndarray:
        return np.frombuffer(bytearray(self.items), np.uint8)


class _Joined(Storage):
    """Parts of one tensor: protocols 2 and 3 cannot hold an array of 1 GiB."""

    def __init__(self, file: MappedFile, parts: list[Storage]):
        super().__init__(file, 0, sum(part.nbytes for part in parts))
        self.parts = parts

    def array(self, itemsize: int) -> np.ndarray:
        return np.concatenate([part.array(itemsize) for part in self.parts])


def read_pdparams(path: str | os.PathLike) -> dict[str, TensorEntry]:
    """Describe every tensor of a ``paddle.save`` file, with the file's own names and shapes.

    Raises:
        MissingFileError: no such file.
        UnsafeCheckpointError: its pickle names anything but arrays and plain containers.
        CheckpointError: truncated, malformed, inconsistent, big-endian, or not a state dict.
    """
    file = MappedFile(path)
    if file.bytes(0, 1) != b"\x80":
        raise CheckpointError(
            f"{file.path.name} begins with {file.bytes(0, 8)!r}, which no pickle of paddle.save "
            f"does. It is damaged, or in another format."
        )
    value = PickleReader(file, 0, file.size, _NAMES).load()
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{file.path.name} holds {show(value)}, not a state dict. Save model.state_dict()."
        )
    parts = value.pop(_PARTS_TABLE, {})
    value.pop(_NAME_TABLE, None)
    arrays: dict[str, _Array] = {}
    for name, item in value.items():
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
            item = item[1]  # (name of the parameter, array)
        if isinstance(item, _Array) and isinstance(name, str):
            arrays[name] = item
        elif not isinstance(item, (int, float, str, type(None), Opaque)):
            raise CheckpointError(
                f"{file.path.name}: key {show(name)} holds {show(item)}, not a tensor. A state "
                f"dict is expected."
            )
    if value and not arrays:
        raise CheckpointError(f"{file.path.name} holds no tensors. Is it the weights file?")
    try:
        return _entries(file, arrays, parts)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise CheckpointError(
            f"{file.path.name}: damaged table of split tensors ({type(error).__name__})."
        ) from error


def _entries(file: MappedFile, arrays: dict[str, _Array], parts: Any) -> dict[str, TensorEntry]:
    entries, used = {}, set()
    for name, info in parts.items():
        pieces = [arrays[piece] for piece in info["slices"]]
        used.update(info["slices"])
        storage = _Joined(file, [_storage(file, name, piece) for piece in pieces])
        entries[name] = storage_entry(
            name, storage, _dtype_of(file, name, pieces[0]), tuple(info["OriginShape"])
        )
    for name, array in arrays.items():
        if name not in used:
            strides = contiguous_strides(array.shape[::-1])[::-1] if array.fortran else None
            entries[name] = storage_entry(
                name,
                _storage(file, name, array),
                _dtype_of(file, name, array),
                array.shape,
                strides=strides,
            )
    return entries


def _dtype_of(file: MappedFile, name: str, array: _Array) -> str:
    if array.code not in _DTYPES:
        raise CheckpointError(
            f"{file.path.name}: tensor {show(name)} has numpy dtype {show(array.code)}, which "
            f"Paddle lacks. Known: {', '.join(_DTYPES)}."
        )
    return _DTYPES[array.code]


def _storage(file: MappedFile, name: str, array: _Array) -> Storage:
    itemsize = NUMPY_DTYPES[_dtype_of(file, name, array)].itemsize
    wanted = itemsize
    for size in array.shape:
        if type(size) is not int or not 0 <= size < 1 << 62:
            raise CheckpointError(f"{file.path.name}: tensor {show(name)} has size {show(size)}.")
        wanted *= size
    data = array.data
    if isinstance(data, str):
        data = data.encode("latin-1")
    if isinstance(data, bytes):
        storage: Storage = _InMemory(file, data)
    elif not isinstance(data, Span):
        raise CheckpointError(f"{file.path.name}: tensor {show(name)} has no data.")
    elif data.encoding is None:
        storage = Storage(file, data.start, data.stop - data.start)
    else:  # one or two bytes of UTF-8 an item byte; the exact count is checked when it is decoded
        fits = wanted <= data.stop - data.start <= 2 * wanted
        storage = _Encoded(file, data.start, data.stop, wanted if fits else -1)
    if storage.nbytes != wanted:
        raise CheckpointError(
            f"{file.path.name}: tensor {show(name)} should have {wanted} bytes and does not. The "
            f"file is truncated or damaged: fetch it again."
        )
    return storage


def write_pdparams(
    path: str | os.PathLike, tensors: Mapping[str, paddle.Tensor | TensorEntry]
) -> None:
    """Write a file that ``paddle.load`` reads, one tensor after another, atomically.

    Raises:
        UnsupportedArgumentError: a dtype that numpy, and so ``paddle.load``, lacks.
    """
    for name, value in tensors.items():
        if described(value)[1] not in _CODES:
            raise UnsupportedArgumentError(
                f"write_pdparams: tensor {name!r} has dtype {described(value)[1]}; the format has: "
                f"{', '.join(_CODES)}. Cast it, or write safetensors."
            )
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
        file.write(b"\x80\x04}(")  # PROTO 4, EMPTY_DICT, MARK
        for name, value in tensors.items():
            _write_array(file, name, value)
        file.write(b"u.")  # SETITEMS, STOP


def _write_array(file: BinaryIO, name: str, value: paddle.Tensor | TensorEntry) -> None:
    """The opcodes of numpy's own pickle of an array. ``numpy.core`` is read by every numpy."""
    shape, dtype = described(value)
    code = _CODES[dtype].encode()
    order = b"|" if NUMPY_DTYPES[dtype].itemsize == 1 else b"<"
    sizes = b"".join(b"\x8a\x08" + struct.pack("<q", size) for size in shape)
    file.write(
        _text(name.encode("utf-8"))
        + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        + b"(K\x01("
        + sizes
        + b"tcnumpy\ndtype\n"
        + _text(code)
        + b"\x89\x88\x87R(K\x03"
        + _text(order)
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    )
    # Push-and-pop pairs put the items on a multiple of 64, so that they can be used in place.
    gap = -(file.tell() + 9) % 64
    gap += 64 if gap == 1 else 0
    file.write(b"K\x000" * (gap % 2) + b"N0" * ((gap - 3 * (gap % 2)) // 2))
    data = tensor_bytes(loaded(value))
    file.write(b"\x8e" + struct.pack("<Q", data.nbytes))
    file.write(data.data)
    file.write(b"tb")


def _text(raw: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(raw)) + raw


@dataclass(frozen=True)
class PaddleNLPNames:
    """How PaddleNLP spells a family's names.

    Attributes:
        prefix: of the base model there, and on the Hub.
        fragments: pairs of parts of a name, there and on the Hub; ``#`` stands for a number.
    """

    prefix: tuple[str, str]
    fragments: tuple[tuple[str, str], ...] = ()


_ENCODER = (  # models on paddle.nn.TransformerEncoder
    ("embeddings.layer_norm.", "embeddings.LayerNorm."),
    ("encoder.layers.#.self_attn.q_proj.", "encoder.layer.#.attention.self.query."),
    ("encoder.layers.#.self_attn.k_proj.", "encoder.layer.#.attention.self.key."),
    ("encoder.layers.#.self_attn.v_proj.", "encoder.layer.#.attention.self.value."),
    ("encoder.layers.#.self_attn.out_proj.", "encoder.layer.#.attention.output.dense."),
    ("encoder.layers.#.linear1.", "encoder.layer.#.intermediate.dense."),
    ("encoder.layers.#.norm1.", "encoder.layer.#.attention.output.LayerNorm."),
    ("encoder.layers.#.linear2.", "encoder.layer.#.output.dense."),
    ("encoder.layers.#.norm2.", "encoder.layer.#.output.LayerNorm."),
)

PADDLENLP_NAMES: dict[str, PaddleNLPNames] = {
    "llama": PaddleNLPNames(("llama.", "model.")),
    "mistral": PaddleNLPNames(("mistral.", "model.")),
    "qwen2": PaddleNLPNames(("qwen2.", "model.")),
    "deepseek_v2": PaddleNLPNames(("deepseek_v2.", "model.")),
    "deepseek_v3": PaddleNLPNames(("deepseek_v3.", "model.")),
    "bert": PaddleNLPNames(("bert.", "bert."), _ENCODER),
}

LinearNames = Container[str] | Callable[[str], bool]


def is_paddlenlp_layout(names: Iterable[str], metadata: Mapping[str, str], model_type: str) -> bool:
    """Whether a safetensors file has PaddleNLP's layout rather than the Hub's.

    Names decide where they differ; else the ``format`` in the file's metadata, ``np`` or ``pd``.
    """
    family = PADDLENLP_NAMES.get(model_type)
    if family is not None:
        names = list(names)
        if any(_rename(name, family, 0) != name for name in names):
            return True
        if any(_rename(name, family, 1) != name for name in names):
            return False
    return metadata.get("format") in ("np", "pd")


def pdparams_to_hub(
    entries: Mapping[str, TensorEntry], linear_names: LinearNames, *, model_type: str
) -> dict[str, TensorEntry]:
    """Give PaddleNLP's tensors the Hub's names, and linear weights the Hub's ``[out, in]``.

    Args:
        entries: from :func:`read_pdparams`, or from a safetensors file in that layout.
        linear_names: the Hub's names of the linear weights, or a predicate on such a name.
        model_type: a family without an entry in ``PADDLENLP_NAMES`` keeps its names.
    Raises:
        CheckpointError: two tensors get one name, or a linear weight has not two axes.
    """
    return _converted(entries, linear_names, model_type, 0)


def hub_to_pdparams(
    entries: Mapping[str, TensorEntry], linear_names: LinearNames, *, model_type: str
) -> dict[str, TensorEntry]:
    """The inverse of :func:`pdparams_to_hub`; ``linear_names`` are the Hub's here too."""
    return _converted(entries, linear_names, model_type, 1)


def _converted(
    entries: Mapping[str, TensorEntry], linear_names: LinearNames, model_type: str, side: int
) -> dict[str, TensorEntry]:
    family = PADDLENLP_NAMES.get(model_type)
    is_linear = linear_names if callable(linear_names) else linear_names.__contains__
    result: dict[str, TensorEntry] = {}
    for name, entry in entries.items():
        renamed = name if family is None else _rename(name, family, side)
        if renamed in result:
            raise CheckpointError(
                f"{entry.source}: {show(name)} and another tensor both become {show(renamed)}."
            )
        hub_name = renamed if side == 0 else name
        entry = _transposed(entry) if is_linear(hub_name) else entry
        result[renamed] = replace(entry, name=renamed)
    return result


def _rename(name: str, family: PaddleNLPNames, side: int) -> str:
    """``name`` in the other spelling; ``side`` 0 reads PaddleNLP's, 1 the Hub's."""
    start = family.prefix[side]
    if name.startswith(start):
        name = family.prefix[1 - side] + name[len(start) :]
    for pair in family.fragments:
        pattern = re.escape(pair[side]).replace(r"\#", r"(\d+)")
        found = re.search(rf"(?:^|(?<=\.)){pattern}", name)
        if found:
            target = pair[1 - side].replace("#", found.group(1) if found.groups() else "#")
            return name[: found.start()] + target + name[found.end() :]
    return name


def _transposed(entry: TensorEntry) -> TensorEntry:
    if len(entry.shape) != 2:
        raise CheckpointError(
            f"{entry.source}: {show(entry.name)} should be the weight of a linear layer, but has "
            f"shape {list(entry.shape)}."
        )
    load = entry.load
    return replace(entry, shape=entry.shape[::-1], load=lambda: _transpose(load()))


def _transpose(tensor: paddle.Tensor) -> paddle.Tensor:
    """A contiguous transpose on the CPU for every dtype: Paddle lacks that kernel for float8."""
    rows, columns = (int(n) for n in tensor.shape)
    dtype = described(tensor)[1]
    items = tensor_bytes(tensor).view(NUMPY_DTYPES[dtype]).reshape(rows, columns)
    turned = paddle.from_dlpack(np.ascontiguousarray(items.T))
    return turned.view(dtype) if described(turned)[1] != dtype else turned
