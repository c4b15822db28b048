"""safetensors files between torch, transformers and us, both ways."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import safetensors.torch
import torch
import transformers

from hfpaddle.converters.folder import find_checkpoint, open_checkpoint
from hfpaddle.converters.mapped import tensor_bytes
from hfpaddle.converters.safetensors import read_metadata, read_safetensors, write_safetensors

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
    torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip
TINY = dict(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32,
)  # fmt: skip


def raw(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().contiguous().reshape(-1)
    return tensor.view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch_files_are_read_and_written_back_byte_for_byte(tmp_path, dtype):
    values = {
        "w": torch.arange(6).reshape(2, 3).to(dtype), "s": torch.ones((), dtype=dtype),
        "e": torch.empty(0, 3, dtype=dtype), "odd": torch.ones(3, dtype=dtype),
    }  # fmt: skip
    safetensors.torch.save_file(values, tmp_path / "theirs", metadata={"format": "pt"})
    entries = read_safetensors(tmp_path / "theirs")
    for name, want in values.items():
        tensor = entries[name].load()
        assert f"torch.{entries[name].dtype}" == str(want.dtype)
        assert tuple(tensor.shape) == tuple(want.shape)
        assert np.array_equal(tensor_bytes(tensor), raw(want))
    write_safetensors(tmp_path / "ours", {n: e.load() for n, e in entries.items()})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_torch_loads_what_we_write(tmp_path):
    tensors = {
        "turned": paddle.arange(6, dtype="float32").reshape([2, 3]).T,
        "half": paddle.to_tensor([1.5, -2.0]).cast("bfloat16"),
        "slice": paddle.arange(10)[3:5],
    }
    write_safetensors(tmp_path / "m", tensors)
    loaded = safetensors.torch.load_file(tmp_path / "m")
    assert torch.equal(loaded["turned"], torch.arange(6.0).reshape(2, 3).T)
    assert torch.equal(loaded["half"], torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
    assert loaded["slice"].tolist() == [3, 4]


@pytest.mark.parametrize("shard", ["1GB", "8KB"])
def test_folders_of_transformers_both_ways(tmp_path, shard):
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY))
    model.save_pretrained(tmp_path, max_shard_size=shard)
    found = find_checkpoint(tmp_path)
    assert (len(found.files) > 2) is (shard == "8KB")
    assert found.metadata() == read_metadata(found.files[0]) == {"format": "pt"}
    entries = open_checkpoint(tmp_path)
    state = model.state_dict()
    assert set(entries) == set(state)
    for name, want in state.items():
        assert np.array_equal(tensor_bytes(entries[name].load()), raw(want)), name

    back = tmp_path / "back"
    model.config.save_pretrained(back)
    write_safetensors(back / "model.safetensors", entries)
    again = transformers.LlamaForCausalLM.from_pretrained(back).state_dict()
    assert all(torch.equal(again[name], want) for name, want in state.items())


def test_variant_files_of_transformers(tmp_path):
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY))
    model.save_pretrained(tmp_path, variant="fp16")
    assert set(open_checkpoint(tmp_path, variant="fp16")) == set(model.state_dict())
    model.save_pretrained(tmp_path / "s", variant="fp16", max_shard_size="8KB")
    assert len(find_checkpoint(tmp_path / "s", variant="fp16").files) > 2
    assert set(open_checkpoint(tmp_path / "s", variant="fp16")) == set(model.state_dict())


def test_the_wording_for_a_folder_without_weights_begins_as_theirs(tmp_path):
    transformers.LlamaConfig(**TINY).save_pretrained(tmp_path)
    for use_safetensors in (None, True, False):
        with pytest.raises(OSError) as theirs:
            transformers.LlamaForCausalLM.from_pretrained(tmp_path, use_safetensors=use_safetensors)
        with pytest.raises(OSError) as ours:
            find_checkpoint(tmp_path, use_safetensors=use_safetensors)
        assert str(ours.value).startswith(str(theirs.value).rstrip("."))
