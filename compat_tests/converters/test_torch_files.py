"""Files that torch itself writes, read without it: every dtype, layout and both formats."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest
import torch

from hfpaddle.converters.folder import find_checkpoint, open_checkpoint
from hfpaddle.converters.mapped import tensor_bytes
from hfpaddle.converters.torch_pickle import read_torch
from hfpaddle.core.errors import CheckpointError, UnsafeCheckpointError

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.uint32, torch.uint64,
]  # fmt: skip
formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def saved(tmp_path, value, zipped=True):
    path = tmp_path / "m.bin"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_same(entry, want: torch.Tensor) -> None:
    tensor, want = entry.load(), want.detach().contiguous()
    assert f"torch.{entry.dtype}" == f"torch.{tensor.dtype.name.lower()}" == str(want.dtype)
    assert tuple(tensor.shape) == entry.shape == tuple(want.shape)
    raw = want.reshape(-1).view(torch.uint8).numpy() if want.numel() else np.empty(0, np.uint8)
    assert np.array_equal(tensor_bytes(tensor), raw)


@formats
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(tmp_path, dtype, zipped):
    values = torch.arange(24).reshape(4, 6).to(dtype)
    value = {
        "full": values, "turned": values.T, "rows": values[1:3], "column": values[:, 2],
        "stepped": values[::2, 1::2], "scalar": values[2, 3], "empty": values[:0],
        "expanded": values[0].expand(3, 6), "parameter": torch.nn.Parameter(values, False),
    }  # fmt: skip
    entries = read_torch(saved(tmp_path, value, zipped))
    assert list(entries) == list(value)
    for name, want in value.items():
        assert_same(entries[name], want)


@formats
def test_tied_tensors_share_memory_as_in_torch(tmp_path, zipped):
    base = torch.arange(12.0)
    entries = read_torch(saved(tmp_path, {"a": base, "b": base, "c": base[4:]}, zipped))
    a, b, c = (entries[n].load() for n in "abc")
    assert a.data_ptr() == b.data_ptr() == c.data_ptr() - 16
    a[5] = -1.0
    assert b[5].item() == c[1].item() == -1.0


@formats
def test_a_modules_state_dict_with_attributes_and_metadata(tmp_path, zipped):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).half()
    state = module.state_dict()
    assert state._metadata
    state["0.weight"].note = "kept by torch"
    state["tagged"] = torch.nn.Parameter(torch.ones(2))
    state["tagged"].note = {"any": 1}
    entries = read_torch(saved(tmp_path, state, zipped))
    assert list(entries) == list(state)
    for name, want in state.items():
        assert_same(entries[name], want)


@formats
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(tmp_path, zipped, protocol):
    torch.save(
        {"w": torch.arange(5.0), "text": "é" * 300}, tmp_path / "m.bin",
        _use_new_zipfile_serialization=zipped, pickle_protocol=protocol,
    )  # fmt: skip
    assert read_torch(tmp_path / "m.bin")["w"].load().tolist() == [0, 1, 2, 3, 4]


@formats
def test_a_training_checkpoint(tmp_path, zipped):
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 1, "loss": np.float64(0.5), "optimizer": optimizer.state_dict(),
        "state_dict": module.state_dict(), "device": torch.device("cpu"), "dtype": torch.float32,
        "size": torch.Size([1, 2]), "order": collections.OrderedDict(a=1), "seen": {1, 2},
    }  # fmt: skip
    entries = read_torch(saved(tmp_path, value, zipped))
    assert list(entries) == ["weight", "bias"]
    assert_same(entries["weight"], module.weight)


def test_lazy_conjugates_sparse_and_quantized_tensors_are_refused(tmp_path):
    conjugate = torch.ones(2, dtype=torch.complex64).conj()
    with pytest.raises(CheckpointError, match="conjugate"):
        read_torch(saved(tmp_path, {"w": conjugate}))
    with pytest.raises(UnsafeCheckpointError, match="torch._utils._rebuild_sparse_tensor"):
        read_torch(saved(tmp_path, {"w": torch.eye(2).to_sparse()}))
    with pytest.raises(UnsafeCheckpointError, match="torch._utils._rebuild_qtensor"):
        quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
        read_torch(saved(tmp_path, {"w": quantized}))


@formats
def test_whole_modules_are_refused_by_name(tmp_path, zipped):
    with pytest.raises(UnsafeCheckpointError, match="torch.nn.modules.linear.Linear"):
        read_torch(saved(tmp_path, torch.nn.Linear(1, 1), zipped))


@formats
def test_truncated_files(tmp_path, zipped):
    path = saved(tmp_path, {"w": torch.arange(1000.0)}, zipped)
    data = path.read_bytes()
    for cut in (1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(CheckpointError, match="m.bin"):
            read_torch(path)


@formats
def test_a_sharded_folder_of_bin_files(tmp_path, zipped):
    one, two = {"a": torch.ones(2, 3)}, {"b": torch.zeros(4)}
    for number, state in enumerate((one, two), 1):
        torch.save(
            state, tmp_path / f"pytorch_model-0000{number}-of-00002.bin",
            _use_new_zipfile_serialization=zipped,
        )  # fmt: skip
    weight_map = {n: f"pytorch_model-0000{1 if n == 'a' else 2}-of-00002.bin" for n in "ab"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert find_checkpoint(tmp_path).format == "torch"
    entries = open_checkpoint(tmp_path)
    for name, want in (one | two).items():
        assert_same(entries[name], want)
