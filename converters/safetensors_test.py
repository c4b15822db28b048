"""Reading and writing safetensors: every dtype, sharing, lifetimes, damaged files."""

from __future__ import annotations

import gc
import os
import struct
import sys

import numpy as np
import paddle
import pytest
import safetensors.paddle

from hfpaddle.converters.fixtures_test import maps_of, safetensors_bytes, written
from hfpaddle.converters.mapped import NUMPY_DTYPES, tensor_bytes
from hfpaddle.converters.safetensors import read_metadata, read_safetensors, write_safetensors
from hfpaddle.core.errors import CheckpointError, MissingFileError, UnsupportedArgumentError

pytestmark = pytest.mark.unit

DTYPES = [d for d in NUMPY_DTYPES if d not in ("uint32", "uint64", "complex128")]


def sample(dtype: str, shape: list[int]) -> paddle.Tensor:
    count = int(np.prod(shape))
    return paddle.arange(count, dtype="float32").reshape(shape).cast(dtype)


def same(ours: paddle.Tensor, theirs: paddle.Tensor) -> bool:
    return (
        ours.dtype == theirs.dtype
        and list(ours.shape) == list(theirs.shape)
        and np.array_equal(tensor_bytes(ours), tensor_bytes(theirs))
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [[3, 5], [], [0, 4], [1]])
def test_round_trip_keeps_dtype_shape_and_bytes(tmp_path, dtype, shape):
    tensor = sample(dtype, shape)
    write_safetensors(tmp_path / "m.safetensors", {"w": tensor})
    entry = read_safetensors(tmp_path / "m.safetensors")["w"]
    assert (entry.dtype, entry.shape, entry.source) == (dtype, tuple(shape), "m.safetensors")
    assert same(entry.load(), tensor)
    assert entry.load().is_contiguous()


def test_bfloat16_is_bfloat16_and_not_the_integers_behind_it(tmp_path):
    # A uint16 array through DLPack prints as bfloat16 and casts as integers.
    write_safetensors(tmp_path / "m", {"w": paddle.to_tensor([1.0, -2.5]).cast("bfloat16")})
    loaded = read_safetensors(tmp_path / "m")["w"].load()
    assert loaded.dtype == paddle.bfloat16
    assert loaded.cast("float32").tolist() == [1.0, -2.5]


def test_writes_the_bytes_that_the_library_writes(tmp_path):
    tensors = {f'{d}.é"\\\n': sample(d, [2, 3]) for d in DTYPES} | {"b": sample("int64", [])}
    write_safetensors(tmp_path / "ours", tensors)
    safetensors.paddle.save_file(tensors, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_writes_strided_tensors_in_row_major_order_and_entries_unread(tmp_path):
    turned = sample("float32", [3, 4]).T
    write_safetensors(tmp_path / "a", {"t": turned}, metadata={"format": "np", "k": "v"})
    write_safetensors(tmp_path / "b", read_safetensors(tmp_path / "a"))
    assert read_safetensors(tmp_path / "b")["t"].load().tolist() == turned.tolist()
    assert read_metadata(tmp_path / "a") == {"format": "np", "k": "v"}
    assert read_metadata(tmp_path / "b") == {"format": "pt"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_writes_a_slice_from_where_it_begins(tmp_path, dtype):
    base = paddle.to_tensor([0, 1, 0, 1, 1, 0, 0, 1]).cast(dtype)
    write_safetensors(tmp_path / "m", {"s": base[3:6], "i": base[4]})
    read = read_safetensors(tmp_path / "m")
    assert read["s"].load().cast("int32").tolist() == [1, 1, 0]
    assert read["i"].load().cast("int32").item() == 1


def test_a_dtype_without_code_is_refused_and_the_old_file_stays(tmp_path):
    path = written(tmp_path, "m", b"old")
    with pytest.raises(UnsupportedArgumentError, match="complex128"):
        write_safetensors(path, {"w": sample("complex128", [2])})
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["m"]


def test_a_failure_while_writing_leaves_the_old_file_alone(tmp_path):
    write_safetensors(tmp_path / "src", {"w": sample("float32", [2])})
    entry = read_safetensors(tmp_path / "src")["w"]
    path = written(tmp_path, "m", b"old")

    def fail():
        raise RuntimeError("no")

    broken = type(entry)(entry.name, entry.shape, entry.dtype, fail, entry.source)
    with pytest.raises(RuntimeError, match="no"):
        write_safetensors(path, {"w": broken})
    assert path.read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["m", "src"]


def test_loads_share_memory_and_never_write_to_the_file(tmp_path):
    path = tmp_path / "m"
    write_safetensors(path, {"w": sample("float32", [4])})
    before = path.read_bytes()
    entry = read_safetensors(path)["w"]
    first, second = entry.load(), entry.load()
    assert first.data_ptr() == second.data_ptr()
    first[0] = 9.0
    assert second[0].item() == 9.0
    assert path.read_bytes() == before
    assert read_safetensors(path)["w"].load()[0].item() == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
def test_the_map_lives_exactly_as_long_as_tensors_do(tmp_path, dtype):
    path = tmp_path / "m"
    write_safetensors(path, {"a": sample(dtype, [64]), "b": sample(dtype, [64])})
    entries = read_safetensors(path)
    tensors = [entry.load() for entry in entries.values()]
    assert maps_of(path) == 1
    del entries
    view = tensors.pop()[1:]
    tensors.clear()
    gc.collect()
    assert maps_of(path) == 1 and same(view, sample(dtype, [64])[1:])
    descriptors = len(os.listdir("/proc/self/fd"))
    del view
    gc.collect()
    assert maps_of(path) == 0
    assert len(os.listdir("/proc/self/fd")) < descriptors


def test_unaligned_items_are_copied_to_an_aligned_place(tmp_path):
    values = np.arange(3, dtype="<f4")
    info = {"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}
    for pad in range(8):  # old writers did not pad the header
        header = safetensors_bytes(info)[8:] + b" " * pad
        path = written(tmp_path, f"m{pad}", safetensors_bytes(header, values.tobytes()))
        tensor = read_safetensors(path)["w"].load()
        assert tensor.tolist() == [0.0, 1.0, 2.0] and tensor.data_ptr() % 4 == 0
        tensor[0] = 5.0
        assert path.read_bytes().endswith(values.tobytes())


def test_unknown_dtypes_are_named_when_loaded(tmp_path):
    for dtype in ("U16", "F8_E8M0"):
        size = 2 if dtype == "U16" else 1
        info = {"w": {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}}
        entry = read_safetensors(written(tmp_path, dtype, safetensors_bytes(info, b"\0" * size)))[
            "w"
        ]
        assert entry.shape == (1,)
        with pytest.raises(CheckpointError, match=f"m?'w' has dtype {entry.dtype}"):
            entry.load()


def test_more_axes_than_paddle_has_are_refused(tmp_path):
    info = {"w": {"dtype": "F32", "shape": [1] * 10, "data_offsets": [0, 4]}}
    entry = read_safetensors(written(tmp_path, "m", safetensors_bytes(info, b"\0" * 4)))["w"]
    with pytest.raises(CheckpointError, match="10 axes"):
        entry.load()


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DAMAGED = {
    "truncated": safetensors_bytes({"w": ONE}, b"\0" * 7),
    "trailing": safetensors_bytes({"w": ONE}, b"\0" * 9),
    "header larger than file": safetensors_bytes({"w": ONE}, b"\0" * 8, size=1 << 20),
    "header larger than any file": safetensors_bytes({"w": ONE}, b"\0" * 8, size=(1 << 64) - 1),
    "header size alone": struct.pack("<Q", 40),
    "seven bytes": b"\0" * 7,
    "overlapping": safetensors_bytes(
        {"a": ONE, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\0" * 12
    ),
    "hole": safetensors_bytes(
        {"a": ONE, "b": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}}, b"\0" * 16
    ),
    "backwards": safetensors_bytes({"w": ONE | {"data_offsets": [8, 0]}}, b"\0" * 8),
    "shape too large": safetensors_bytes({"w": ONE | {"shape": [1 << 40, 1 << 40]}}, b"\0" * 8),
    "negative shape": safetensors_bytes({"w": ONE | {"shape": [-2]}}, b"\0" * 8),
    "unknown dtype": safetensors_bytes({"w": ONE | {"dtype": "F31"}}, b"\0" * 8),
    "no JSON": safetensors_bytes(b"{]      "),
    "JSON list": safetensors_bytes(b"[1]     "),
    "not UTF-8": safetensors_bytes(b'{"\xff\xfe":1}'),
    "nested": safetensors_bytes(b"[" * 100_000),
    "a pickle": b"\x80\x02}q\x00.",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_raise_and_name_the_file(tmp_path, case):
    path = written(tmp_path, "bad.safetensors", DAMAGED[case])
    for read in (read_safetensors, read_metadata):
        with pytest.raises(CheckpointError, match="bad.safetensors.*fetch it again"):
            read(path)


def test_missing_empty_and_directory_have_their_own_words(tmp_path):
    with pytest.raises(MissingFileError, match="gone.safetensors does not exist"):
        read_safetensors(tmp_path / "gone.safetensors")
    with pytest.raises(CheckpointError, match="is empty"):
        read_safetensors(written(tmp_path, "empty", b""))
    with pytest.raises(CheckpointError, match="is a directory"):
        read_safetensors(tmp_path)
