"""Reading torch.save files built by hand: both formats, sharing, malice and damage."""

from __future__ import annotations

import gc
import pickle
import sys
import zipfile

import numpy as np
import paddle
import pytest

from hfpaddle.converters.fixtures_test import (
    BASE,
    Global,
    Reduced,
    Stored,
    legacy_bytes,
    maps_of,
    state,
    tensor,
    written,
    zip_bytes,
)
from hfpaddle.converters.torch_pickle import read_torch
from hfpaddle.core.errors import CheckpointError, MissingFileError, UnsafeCheckpointError

pytestmark = pytest.mark.unit

FORMATS = {"zip": zip_bytes, "legacy": legacy_bytes}
both = pytest.mark.parametrize("build", FORMATS.values(), ids=FORMATS)


def read(tmp_path, data: bytes):
    return read_torch(written(tmp_path, "m.bin", data))


@both
def test_reads_every_layout(tmp_path, build):
    entries = read(tmp_path, build(state()))
    assert list(entries) == ["full", "tied", "rows", "turned", "scalar", "half"]
    assert {n: e.shape for n, e in entries.items()} == {
        "full": (4, 6), "tied": (4, 6), "rows": (2, 6), "turned": (6, 4), "scalar": (), "half": (3,)
    }  # fmt: skip
    tensors = {name: entry.load() for name, entry in entries.items()}
    full = BASE.reshape(4, 6)
    assert np.array_equal(tensors["full"].numpy(), full)
    assert np.array_equal(tensors["rows"].numpy(), full[2:])
    assert np.array_equal(tensors["turned"].numpy(), full.T) and tensors["turned"].is_contiguous()
    assert tensors["scalar"].item() == 5.0
    assert tensors["half"].dtype == paddle.bfloat16
    assert tensors["half"].cast("float32").tolist() == [1.0, 2.0, -1.0]


@both
def test_tied_tensors_share_memory_and_the_file_stays(tmp_path, build):
    data = build(state())
    entries = read(tmp_path, data)
    full, tied, rows = (entries[n].load() for n in ("full", "tied", "rows"))
    full[2, 0] = 99.0
    assert tied[2, 0].item() == 99.0 and rows[0, 0].item() == 99.0
    assert (tmp_path / "m.bin").read_bytes() == data
    assert full.data_ptr() % 4 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@both
def test_the_map_goes_with_the_last_tensor(tmp_path, build):
    entries = read(tmp_path, build(state()))
    loaded = entries["full"].load()
    del entries
    gc.collect()
    assert loaded.sum().item() == BASE.sum()
    del loaded
    gc.collect()
    assert maps_of(tmp_path / "m.bin") == 0


@pytest.mark.parametrize("key", ["state_dict", "model", "module", "model_state_dict"])
def test_finds_the_state_dict_inside_a_training_checkpoint(tmp_path, key):
    value = {"epoch": 3, "optimizer": {"state": {0: tensor("FloatStorage", "0", 24, (1,), (1,))}}}
    assert "full" in read(tmp_path, zip_bytes(value | {key: state()}))


@pytest.mark.parametrize(
    "value, word",
    [
        ([1], "holds a list"),
        (3, "holds 3"),
        ({"lr": 0.1}, "no tensors"),
        ({"a": state(), "b": state()}, "'a' holds a dict"),
        ({"w": tensor("FloatStorage", "0", 24, (1,), (1,)), "l": [1]}, "'l' holds a list"),
        ({3: tensor("FloatStorage", "0", 24, (1,), (1,))}, "key 3"),
    ],
)
def test_anything_but_a_state_dict_is_named(tmp_path, value, word):
    with pytest.raises(CheckpointError, match=word):
        read(tmp_path, zip_bytes(value))


def test_an_empty_state_dict_is_empty(tmp_path):
    assert read(tmp_path, zip_bytes({})) == {}


def test_parameters_attributes_and_metadata_of_modules(tmp_path):
    hooks = Reduced(Global("collections", "OrderedDict"))
    inner = tensor("FloatStorage", "0", 24, (2,), (1,))
    storage = Stored("FloatStorage", "0", 24)
    with_state = Global("torch._utils", "_rebuild_parameter_with_state")
    value = {
        "p": Reduced(Global("torch._utils", "_rebuild_parameter"), inner, True, hooks),
        "s": Reduced(with_state, inner, True, hooks, 1),
        "old": Reduced(Global("torch._utils", "_rebuild_tensor"), storage, 1, (2,), (1,)),
        "v3": Reduced(
            Global("torch._utils", "_rebuild_tensor_v3"),
            storage, 0, (2,), (1,), False, hooks, Global("torch", "float32"),
        ),
        "attr": Reduced(
            Global("torch._tensor", "_rebuild_from_type_v2"),
            Global("torch._utils", "_rebuild_tensor_v2"), Global("torch", "Tensor"),
            (storage, 2, (2,), (1,), False, hooks), {"note": 1},
        ),
        "size": Reduced(Global("torch", "device"), "cpu"),
    }  # fmt: skip
    got = {name: entry.load().tolist() for name, entry in read(tmp_path, zip_bytes(value)).items()}
    assert got == {"p": [0, 1], "s": [0, 1], "old": [1, 2], "v3": [0, 1], "attr": [2, 3]}


def test_float8_and_untyped_storages(tmp_path):
    hooks = Reduced(Global("collections", "OrderedDict"))
    for name in ("float8_e4m3fn", "float8_e5m2", "uint16", "float8_e8m0fnu"):
        storage = Stored("UntypedStorage", "0", 4)
        storage.id = ("storage", Global("torch.storage", "UntypedStorage"), "0", "cpu", 4)
        value = {"w": Reduced(
            Global("torch._utils", "_rebuild_tensor_v3"),
            storage, 0, (2,), (1,), False, hooks, Global("torch", name),
        )}  # fmt: skip
        entry = read(tmp_path, zip_bytes(value, {"0": b"\x38\x40\x38\x40"}))["w"]
        if name in ("float8_e4m3fn", "float8_e5m2"):
            want = {"float8_e4m3fn": [1.0, 2.0], "float8_e5m2": [0.5, 2.0]}[name]
            assert entry.load().cast("float32").tolist() == want
        else:
            with pytest.raises(CheckpointError, match=f"dtype {name}, which Paddle lacks"):
                entry.load()


def test_a_lazily_conjugated_tensor_is_refused(tmp_path):
    value = {"w": tensor("FloatStorage", "0", 24, (2,), (1,), extra=({"conj": True},))}
    with pytest.raises(CheckpointError, match="m.bin: .*conjugate"):
        read(tmp_path, zip_bytes(value))


class _Attack:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


MALICE = {
    "os.system": _Attack(__import__("os").system, "touch pwned"),
    "eval": _Attack(eval, "open('pwned', 'w')"),
    "exec": _Attack(exec, "open('pwned', 'w')"),
    "getattr": _Attack(getattr, "x", "y"),
    "bytearray": _Attack(bytearray, 1 << 40),
    "partial": _Attack(__import__("functools").partial, print),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("case", MALICE)
def test_malicious_pickles_run_nothing(tmp_path, monkeypatch, case, protocol):
    monkeypatch.chdir(tmp_path)
    raw = pickle.dumps({"w": MALICE[case]}, protocol)
    for name, data in {"legacy.bin": raw, "zip.bin": _zipped(tmp_path, raw)}.items():
        with pytest.raises(UnsafeCheckpointError, match=f"{name} refers to '[a-z_]+\\.[a-z]+'"):
            read_torch(written(tmp_path, name, data))
    assert not (tmp_path / "pwned").exists()


def _zipped(tmp_path, raw: bytes) -> bytes:
    path = tmp_path / "build.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", raw)
    return path.read_bytes()


@pytest.mark.parametrize(
    "module, name",
    [
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.jit", "load"),
        ("torch.serialization", "_get_layout"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch.utils.data", "DataLoader"),
        ("torch.storage", "_load_from_bytes"),
        ("transformers.training_args", "TrainingArguments"),
        ("builtins", "__import__"),
        ("os", "system"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ],
)
def test_names_outside_the_table_are_refused_by_name(tmp_path, module, name):
    value = {"w": Reduced(Global(module, name), "x")}
    for build in FORMATS.values():
        with pytest.raises(UnsafeCheckpointError, match=f"{module}.{name}"):
            read(tmp_path, build(value))


BAD_TENSORS = {
    "more items than the storage": tensor("FloatStorage", "0", 24, (5, 6), (6, 1)),
    "offset outside": tensor("FloatStorage", "0", 24, (2,), (1,), 23),
    "stride outside": tensor("FloatStorage", "0", 24, (2,), (24,)),
    "negative size": tensor("FloatStorage", "0", 24, (-1,), (1,)),
    "negative stride": tensor("FloatStorage", "0", 24, (4,), (-1,)),
    "negative offset": tensor("FloatStorage", "0", 24, (4,), (1,), -1),
    "huge size": tensor("FloatStorage", "0", 24, (1 << 61, 1 << 61), (0, 0)),
    "huge expansion": tensor("FloatStorage", "0", 24, (1 << 20, 1 << 20), (0, 0)),
    "very long integer": tensor("FloatStorage", "0", 24, (1 << 5000,), (1,)),
    "sizes and strides differ": tensor("FloatStorage", "0", 24, (2, 2), (1,)),
    "size is text": tensor("FloatStorage", "0", 24, ("a",), (1,)),
    "storage larger than file": tensor("FloatStorage", "0", 1 << 40, (2,), (1,)),
    "negative storage": tensor("FloatStorage", "0", -1, (2,), (1,)),
    "unknown storage": tensor("FloatStorage", "7", 24, (2,), (1,)),
    "larger than its record": tensor("FloatStorage", "1", 24, (2,), (1,)),
    "no storage": Reduced(Global("torch._utils", "_rebuild_tensor_v2"), 1, 0, (1,), (1,), 0, 0),
    "too few arguments": Reduced(Global("torch._utils", "_rebuild_tensor_v2"), 1),
}


@both
@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_that_do_not_fit_are_refused(tmp_path, build, case):
    half = tensor("BFloat16Storage", "1", 3, (3,), (1,))  # so that both storages are in use
    good = tensor("FloatStorage", "0", 24, (4,), (1,))
    assert read(tmp_path, build({"w": good, "half": half})).keys() == {"w", "half"}
    with pytest.raises(CheckpointError, match="m.bin"):
        read(tmp_path, build({"w": BAD_TENSORS[case], "half": half, "good": good}))


def test_an_expanded_tensor_is_read(tmp_path):
    value = {"w": tensor("FloatStorage", "0", 24, (3, 2), (0, 1), 1)}
    assert read(tmp_path, zip_bytes(value))["w"].load().tolist() == [[1, 2]] * 3


def test_a_legacy_view_of_a_storage(tmp_path):
    viewed = Reduced(
        Global("torch._utils", "_rebuild_tensor_v2"),
        Stored("FloatStorage", "0", 24, ("9", 4, 6)), 1, (2,), (1,), False, None,
    )  # fmt: skip
    value = {"w": viewed, "half": tensor("BFloat16Storage", "1", 3, (3,), (1,))}
    assert read(tmp_path, legacy_bytes(value))["w"].load().tolist() == [5.0, 6.0]


def test_truncation_anywhere_is_an_error(tmp_path):
    for build in FORMATS.values():
        data = build(state())
        for cut in {*range(1, len(data), 41), len(data) - 1}:
            with pytest.raises(CheckpointError):
                read(tmp_path, data[:cut])


@pytest.mark.parametrize(
    "data, word",
    [
        (zip_bytes(state(), order=b"big"), "big-endian"),
        (legacy_bytes(state(), little=False), "big-endian"),
        (zip_bytes(state(), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zip_bytes(state(), {"0": BASE.tobytes()}), "'1' has no record"),
        (legacy_bytes(state(), counts={"0": 24, "1": 1 << 60}), "storage '1' .* does not fit"),
        (legacy_bytes(state(), counts={"0": -24, "1": 3}), "storage '0' .* does not fit"),
        (pickle.dumps({"w": 1}, 2), "magic number"),
        (b"PK\x03\x04" + b"\0" * 400, "not a whole zip"),
        (b"GGUF" + b"\0" * 400, "no file of torch.save"),
        (b"\0" * 257 + b"ustar\0", "torch 0.1"),
        (b"", "is empty"),
    ],
)
def test_other_files_say_what_is_wrong(tmp_path, data, word):
    with pytest.raises(CheckpointError, match=word):
        read(tmp_path, data)


def test_missing_and_directory(tmp_path):
    with pytest.raises(MissingFileError, match="gone.bin does not exist"):
        read_torch(tmp_path / "gone.bin")
    with pytest.raises(CheckpointError, match="is a directory"):
        read_torch(tmp_path)
