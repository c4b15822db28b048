"""Which weights a folder has, shards, indexes that lie."""

from __future__ import annotations

import json

import paddle
import pytest

from hfpaddle.converters.fixtures_test import state, written, zip_bytes
from hfpaddle.converters.folder import (
    candidate_names,
    find_checkpoint,
    open_checkpoint,
    read_index,
)
from hfpaddle.converters.pdparams import write_pdparams
from hfpaddle.converters.safetensors import write_safetensors
from hfpaddle.core.errors import CheckpointError, MissingFileError

pytestmark = pytest.mark.unit

WRITERS = {
    "model.safetensors": lambda path: write_safetensors(path, {"w": paddle.ones([2])}),
    "pytorch_model.bin": lambda path: path.write_bytes(zip_bytes(state())),
    "model_state.pdparams": lambda path: write_pdparams(path, {"w": paddle.ones([2])}),
}


def sharded(folder, weight_map=None, name="model.safetensors.index.json"):
    """Tensors a, b in one shard and c in another."""
    one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    write_safetensors(folder / one, {"a": paddle.ones([1]), "b": paddle.ones([1]) * 2})
    write_safetensors(folder / two, {"c": paddle.ones([1]) * 3})
    default = {"a": one, "b": one, "c": two}
    weight_map = default if weight_map is None else weight_map
    (folder / name).write_text(json.dumps({"metadata": {"size": 12}, "weight_map": weight_map}))
    return default


def test_candidates_are_transformers_names_then_paddles():
    assert candidate_names() == [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "model_state.pdparams",
        "model_state.pdparams.index.json",
    ]
    assert candidate_names("fp16", use_safetensors=True) == [
        "model.fp16.safetensors",
        "model.safetensors.index.fp16.json",
    ]
    assert candidate_names(use_safetensors=False) == candidate_names()[2:]


def test_formats_are_preferred_in_that_order(tmp_path):
    kinds = {}
    for name, write in reversed(WRITERS.items()):
        write(tmp_path / name)
        found = find_checkpoint(tmp_path)
        assert [path.name for path in found.files] == [name]
        kinds[found.format] = list(open_checkpoint(tmp_path))
    assert kinds == {
        "pdparams": ["w"],
        "torch": ["full", "tied", "rows", "turned", "scalar", "half"],
        "safetensors": ["w"],
    }
    assert find_checkpoint(tmp_path, use_safetensors=False).format == "torch"
    assert find_checkpoint(tmp_path).metadata() == {"format": "pt"}
    assert find_checkpoint(tmp_path, use_safetensors=False).metadata() == {}


def test_variant_and_subfolder(tmp_path):
    folder = tmp_path / "unet"
    folder.mkdir()
    WRITERS["model.safetensors"](folder / "model.fp16.safetensors")
    found = find_checkpoint(tmp_path, variant="fp16", subfolder="unet")
    assert found.files == [folder / "model.fp16.safetensors"]
    with pytest.raises(MissingFileError, match="no file named model.safetensors"):
        find_checkpoint(folder)
    (folder / "model.fp16.safetensors").unlink()
    sharded(folder, name="model.safetensors.index.fp16.json")
    assert list(open_checkpoint(folder, variant="fp16")) == ["a", "b", "c"]


def test_shards_are_merged_and_a_found_checkpoint_opens(tmp_path):
    weight_map = sharded(tmp_path)
    found = find_checkpoint(tmp_path)
    assert found.weight_map == weight_map and len(found.files) == 2
    for source in (tmp_path, found):
        entries = open_checkpoint(source)
        assert [entries[n].load().item() for n in "abc"] == [1.0, 2.0, 3.0]
        assert entries["c"].source == "model-00002-of-00002.safetensors"


@pytest.mark.parametrize("kind", ["pytorch_model.bin", "model_state.pdparams"])
def test_shards_of_the_other_formats(tmp_path, kind):
    WRITERS[kind](tmp_path / "shard")
    name = "full" if kind.endswith("bin") else "w"
    written(tmp_path, f"{kind}.index.json", json.dumps({"weight_map": {name: "shard"}}).encode())
    assert name in open_checkpoint(tmp_path)


def test_nothing_found_is_worded_as_in_transformers(tmp_path):
    written(tmp_path, "config.json", b"{}")
    with pytest.raises(
        MissingFileError,
        match="Error no file named model.safetensors, or pytorch_model.bin, found in directory .*"
        "model_state.pdparams. It has: config.json",
    ):
        find_checkpoint(tmp_path)
    with pytest.raises(OSError, match="Error no file named model.safetensors found in directory"):
        find_checkpoint(tmp_path, use_safetensors=True)
    with pytest.raises(OSError, match="Error no file named model.fp16.safetensors, or pytorch_m"):
        find_checkpoint(tmp_path, use_safetensors=False, variant="fp16")
    with pytest.raises(MissingFileError, match="gone is not a directory"):
        find_checkpoint(tmp_path / "gone")


def test_a_missing_shard_is_named(tmp_path):
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(MissingFileError, match="shard model-00002-of-00002.safetensors, which"):
        open_checkpoint(tmp_path)


def test_a_directory_in_a_files_place_is_not_a_checkpoint(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(MissingFileError, match="no file named model.safetensors"):
        find_checkpoint(tmp_path)


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path):
    weight_map = sharded(tmp_path)
    one, two = weight_map["a"], weight_map["c"]
    for wrong in ({"a": one, "d": two}, {"a": two, "c": two}):
        sharded(tmp_path, wrong)
        with pytest.raises(CheckpointError, match=f"places tensor '[ad]' in {two}, which lacks it"):
            open_checkpoint(tmp_path)


def test_copies_in_two_shards_follow_the_index_or_are_refused(tmp_path):
    weight_map = sharded(tmp_path)
    write_safetensors(
        tmp_path / weight_map["c"], {"c": paddle.ones([1]) * 3, "a": paddle.ones([1]) * 9}
    )
    assert open_checkpoint(tmp_path)["a"].load().item() == 1.0
    sharded(tmp_path, {"b": weight_map["b"], "c": weight_map["c"]})
    write_safetensors(
        tmp_path / weight_map["c"], {"c": paddle.ones([1]) * 3, "a": paddle.ones([1]) * 9}
    )
    with pytest.raises(CheckpointError, match="tensor 'a' is in .* and in .*"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "shard",
    [
        "../x.safetensors",
        "/etc/x",
        "a/../../x",
        "..\\x",
        "C:\\x",
        "C:x",
        "\\\\h\\x",
        "",
        ".",
        "a\0b",
    ],
)
def test_shards_outside_the_folder_are_refused(tmp_path, shard):
    written(tmp_path.parent, "x.safetensors", b"secret")
    sharded(tmp_path, {"a": shard})
    with pytest.raises(CheckpointError, match="not a file name inside its folder"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff\xfe\x00", b"[]", b"3", b"{}", b"null", b'{"weight_map": []}',
        b'{"weight_map": {}}', b'{"weight_map": {"a": 3}}', b'{"weight_map": "a"}',
        b"[" * 100_000, b'{"weight_map": {"a": null}}',
    ],
)  # fmt: skip
def test_damaged_indexes_name_themselves(tmp_path, data):
    path = written(tmp_path, "model.safetensors.index.json", data)
    with pytest.raises(CheckpointError, match="model.safetensors.index.json"):
        find_checkpoint(tmp_path)
    with pytest.raises(CheckpointError):
        read_index(path)


def test_a_missing_index_and_a_directory(tmp_path):
    with pytest.raises(CheckpointError, match="gone.json"):
        read_index(tmp_path / "gone.json")
    with pytest.raises(CheckpointError, match="is not a JSON index"):
        read_index(tmp_path)
