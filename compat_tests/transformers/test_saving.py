"""save_pretrained: the original loads what is written, difference zero; failures leave no trace."""

import errno
import json
import os
import re

import numpy as np
import paddle
import pytest
import torch
import transformers
from folders import copy_of, make, scores, state
from harness import TINY, randomise
from safetensors import safe_open
from safetensors.torch import load_file

import hfpaddle.core.files
import hfpaddle.modeling.auto
from hfpaddle.converters import safetensors as writer
from hfpaddle.core.errors import CheckpointError, HfpaddleError, UnsupportedArgumentError
from hfpaddle.modeling.auto import AutoModelForCausalLM, AutoModelForMaskedLM
from hfpaddle.models.llama import LlamaForCausalLM

load = AutoModelForCausalLM.from_pretrained
Upstream = transformers.AutoModelForCausalLM
FAMILIES = {"llama": AutoModelForCausalLM, "tied": AutoModelForCausalLM,
            "gpt2": AutoModelForCausalLM, "bert": AutoModelForMaskedLM}  # fmt: skip


def contents(folder):
    """Every file, JSON as values and weights as arrays with their metadata."""
    found = {}
    for path in folder.iterdir():
        if path.suffix == ".json":
            found[path.name] = json.loads(path.read_text())
        else:
            with safe_open(path, "pt") as file:
                found[path.name] = (file.metadata(), sorted(file.keys()))
    return found


@pytest.mark.parametrize("limit", ["50GB", "20KB", "0.05MB", 40_000, 10**9, "1KB", "1TB"])
@pytest.mark.parametrize("family", FAMILIES)
def test_files_equal_upstreams(request, tmp_path, family, limit):
    """Names, shards, index, metadata and configs, and each tensor's bytes."""
    folder, _ = request.getfixturevalue(family)
    theirs = getattr(transformers, FAMILIES[family].__name__).from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "want", max_shard_size=limit)
    ours = FAMILIES[family].from_pretrained(folder)
    ours.save_pretrained(tmp_path / "got", max_shard_size=limit)
    assert contents(tmp_path / "got") == contents(tmp_path / "want")
    for path in (tmp_path / "want").iterdir():
        assert (tmp_path / "got" / path.name).read_bytes() == path.read_bytes(), path.name
    config = (tmp_path / "want" / "config.json").stat()  # as the umask says
    assert {p.stat().st_mode for p in (tmp_path / "got").iterdir()} == {config.st_mode}
    assert (tmp_path / "got").stat().st_mode == (tmp_path / "want").stat().st_mode
    again = type(theirs).from_pretrained(tmp_path / "got")
    np.testing.assert_array_equal(scores(again), scores(theirs))


@pytest.mark.parametrize("family", ["llama", "tied", "bert"])
def test_index_of_a_new_model(request, tmp_path, family):
    """Upstream does not sort the tensors of a model that no checkpoint was loaded into."""
    folder, _ = request.getfixturevalue(family)
    config = transformers.AutoConfig.from_pretrained(folder)
    for side in (transformers, hfpaddle.modeling.auto):
        model = getattr(side, FAMILIES[family].__name__).from_config(config)
        model.save_pretrained(tmp_path / side.__name__, max_shard_size="20KB")
    want, got = (contents(tmp_path / name) for name in ("transformers", "hfpaddle.modeling.auto"))
    assert got == want


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_types(llama, tmp_path, dtype):
    ours = load(llama[0], dtype=dtype)
    ours.save_pretrained(tmp_path / "got")
    theirs = Upstream.from_pretrained(llama[0], dtype=dtype)
    theirs.save_pretrained(tmp_path / "want")
    for path in (tmp_path / "want").iterdir():
        assert (tmp_path / "got" / path.name).read_bytes() == path.read_bytes(), path.name
    assert load(tmp_path / "got").dtype == getattr(paddle, dtype)


def test_a_model_from_a_config(tmp_path):
    """New weights go to the original and back."""
    model = LlamaForCausalLM(transformers.LlamaConfig(**TINY))
    model.save_pretrained(tmp_path)
    theirs, info = Upstream.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    np.testing.assert_allclose(scores(model.eval()), scores(theirs), atol=1e-5)
    assert model.config.architectures is None


def test_generation_config(llama, tmp_path):
    model = load(llama[0])
    model.generation_config.top_k, model.generation_config.do_sample = 7, True
    model.save_pretrained(tmp_path / "a")
    assert Upstream.from_pretrained(tmp_path / "a").generation_config.top_k == 7
    model.generation_config.do_sample = False
    model.generation_config.temperature = 0.3
    with pytest.raises(ValueError, match="[gG]eneration"):
        model.save_pretrained(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_variant(llama, tmp_path):
    model = load(llama[0])
    for limit in ("50GB", "40KB"):
        model.save_pretrained(tmp_path, variant="fp16", max_shard_size=limit)
        theirs = Upstream.from_pretrained(tmp_path, variant="fp16")
        np.testing.assert_array_equal(scores(theirs), scores(llama[1]))
        np.testing.assert_array_equal(scores(load(tmp_path, variant="fp16")), scores(model))
    model.save_pretrained(tmp_path)
    names = {re.sub(r"\d+-of-\d+", "N", path.name) for path in tmp_path.iterdir()}
    weights = {"model.safetensors", "model.fp16-N.safetensors", "model.safetensors.index.fp16.json"}
    assert names == {*weights, "config.json", "generation_config.json"}


def test_state_dict_argument(llama, tied, tmp_path):
    model = load(llama[0])
    chosen = {k: v * 2 for k, v in model.state_dict().items() if "norm" in k}
    model.save_pretrained(tmp_path / "some", state_dict=chosen)
    written = load_file(tmp_path / "some" / "model.safetensors")
    assert written.keys() == chosen.keys()
    for name, tensor in written.items():
        assert torch.equal(tensor, 2 * llama[1].state_dict()[name])
    model = load(tied[0])
    head = {"lm_head.weight": model.lm_head.weight}
    model.save_pretrained(tmp_path / "head", state_dict=head)
    assert load_file(tmp_path / "head" / "model.safetensors").keys() == head.keys()
    everything = {name: p.clone() for name, p in model.state_dict().items()}
    model.save_pretrained(tmp_path / "all", state_dict=everything)
    np.testing.assert_array_equal(
        scores(Upstream.from_pretrained(tmp_path / "all")), scores(tied[1])
    )


def test_other_ranks_write_nothing(llama, tmp_path):
    load(llama[0]).save_pretrained(tmp_path / "x", is_main_process=False)
    assert not (tmp_path / "x").exists()


def test_stale_shards_go(llama, tied, tmp_path):
    """A folder saved into again holds one checkpoint, and other files stay."""
    first, second = load(llama[0]), load(tied[0])
    tmp_path.joinpath("notes.txt").write_text("mine")
    tmp_path.joinpath("model-extra.safetensors").write_text("mine")
    for limit in ("20KB", "40KB", "50GB", "30KB"):
        first.save_pretrained(tmp_path, max_shard_size=limit)
        np.testing.assert_array_equal(scores(Upstream.from_pretrained(tmp_path)), scores(llama[1]))
        second.save_pretrained(tmp_path, max_shard_size=limit)
        np.testing.assert_array_equal(scores(Upstream.from_pretrained(tmp_path)), scores(tied[1]))
        np.testing.assert_array_equal(scores(load(tmp_path)), scores(second))
    names = {re.sub(r"\d+-of-\d+", "N", path.name) for path in tmp_path.iterdir()}
    kept = {"notes.txt", "model-extra.safetensors", "config.json", "generation_config.json"}
    assert names == kept | {"model-N.safetensors", "model.safetensors.index.json"}


@pytest.mark.parametrize("limit", ["50GB", "20KB"])
def test_into_the_source(tmp_path, limit):
    """The weights are mapped from the files that are replaced."""
    theirs = make(tmp_path / "a")
    theirs.save_pretrained(tmp_path / "a", max_shard_size=limit)
    model = load(tmp_path / "a")
    before = scores(model)
    model.save_pretrained(tmp_path / "a", max_shard_size=limit)
    np.testing.assert_array_equal(scores(model), before)
    with paddle.no_grad():
        model.model.norm.weight.scale_(2.0)
    want = scores(model)
    model.save_pretrained(tmp_path / "a", max_shard_size="40KB")
    np.testing.assert_array_equal(scores(model), want)
    np.testing.assert_array_equal(scores(load(tmp_path / "a")), want)
    again = Upstream.from_pretrained(tmp_path / "a")
    np.testing.assert_allclose(scores(again), 2 * scores(theirs), rtol=1e-4, atol=1e-4)


# Failures


def files(folder):
    """As `state`, without the times of folders: names may come and go in them."""
    return {
        name: facts if facts[3] else (facts[0], facts[2]) for name, facts in state(folder).items()
    }


def failing(real, after):
    """``real`` until it was called ``after`` times; then the disk is full, once."""
    calls = []

    def call(*args, **kwargs):
        calls.append(args)
        if len(calls) == after + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    return call


# From replacing the first of the old files to the last of the new ones.
REPLACED = {f"replace {n}": (os, "replace", n) for n in range(0, 20, 3)}
PLACES = {
    "first tensor": (writer, "tensor_bytes", 0),
    "last shard": (writer, "tensor_bytes", 20),
    "config": (transformers.PretrainedConfig, "to_json_file", 0),
    "generation config": (transformers.GenerationConfig, "save_pretrained", 0),
    **REPLACED,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("old", ["shards", "one file", "nothing", "no folder"])
def test_disk_full(llama, tied, tmp_path, monkeypatch, place, old):
    """The old checkpoint is whole, and nothing else is left."""
    folder = tmp_path / "x"
    limit = "50GB" if old == "one file" else "20KB"
    if old in ("shards", "one file"):
        Upstream.from_pretrained(tied[0]).save_pretrained(folder, max_shard_size=limit)
    elif old == "nothing":
        folder.mkdir()
    before = files(tmp_path)
    model = load(llama[0])
    owner, name, after = PLACES[place]
    if place in REPLACED and old != "shards":
        after //= 3  # fewer files move
    monkeypatch.setattr(owner, name, failing(getattr(owner, name), after))
    with pytest.raises(CheckpointError, match="No space left on device") as raised:
        model.save_pretrained(folder, max_shard_size="20KB")
    monkeypatch.undo()
    assert str(folder) in str(raised.value)
    assert files(tmp_path) == before
    model.save_pretrained(folder)
    np.testing.assert_array_equal(scores(load(folder)), scores(model))


def test_interrupted(llama, tied, tmp_path, monkeypatch):
    """Not only errors: a signal in the middle leaves the old checkpoint too."""
    folder = copy_of(tied[0], tmp_path / "x")
    before = files(tmp_path)
    model = load(llama[0])

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "tensor_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save_pretrained(folder)
    assert files(tmp_path) == before


def test_old_files_go_before_new_ones_come(tmp_path, monkeypatch):
    """A process killed between two moves leaves a folder that cannot be loaded, never a mixture."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    seen = []
    real = os.replace

    def replace(source, target):
        real(source, target)
        texts = [p.read_text() for p in tmp_path.iterdir() if p.is_file()]
        seen.append(texts)

    monkeypatch.setattr(os, "replace", replace)
    with hfpaddle.core.files.staged(tmp_path) as staging:
        for name in ("a", "b", "c"):
            (staging.path / name).write_text("new")
    assert seen[-1] == ["new"] * 3
    assert not any({"old", "new"} <= set(texts) for texts in seen)


def test_places_that_cannot_be_written(llama, tmp_path):
    model = load(llama[0])
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnsupportedArgumentError, match="is a file"):
        model.save_pretrained(tmp_path / "file")
    for place in (tmp_path / "file" / "below", "/proc/nowhere", "/dev/null/x"):
        with pytest.raises(CheckpointError, match="cannot be written"):
            model.save_pretrained(place)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_read_only_folder(llama, tmp_path, monkeypatch):
    """Root may write anywhere, so the system's answer is given by hand."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    model = load(llama[0])
    monkeypatch.setattr(hfpaddle.core.files.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(CheckpointError, match="Permission denied"):
        model.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_arguments(llama, tmp_path):
    model = load(llama[0])
    for size in ("5 parsecs", "GB", "x", "5XB"):
        with pytest.raises(UnsupportedArgumentError, match="max_shard_size"):
            model.save_pretrained(tmp_path / "x", max_shard_size=size)
    with pytest.raises(UnsupportedArgumentError, match="safe_serialization"):
        model.save_pretrained(tmp_path / "x", safe_serialization=False)
    with pytest.raises(TypeError, match="no_such"):
        model.save_pretrained(tmp_path / "x", no_such=1)
    assert not (tmp_path / "x").exists()
    model.save_pretrained(str(tmp_path / "x"), save_peft_format=True, save_function=None)
    assert issubclass(CheckpointError, HfpaddleError)
    np.testing.assert_array_equal(scores(load(tmp_path / "x")), scores(model))


def test_resized_and_changed(llama, tmp_path):
    """What is written is the model as it is now, config included."""
    model = load(llama[0])
    model.resize_token_embeddings(120)
    model.config.rms_norm_eps = 1e-3
    model.save_pretrained(tmp_path)
    theirs = Upstream.from_pretrained(tmp_path)
    assert theirs.config.vocab_size == 120 and theirs.config.rms_norm_eps == 1e-3
    np.testing.assert_allclose(scores(load(tmp_path)), scores(theirs), atol=1e-4)


def test_round_trip_from_upstream_state(llama, tmp_path):
    """Both ways, new weights each time."""
    theirs = randomise(Upstream.from_pretrained(llama[0]), seed=3)
    theirs.save_pretrained(tmp_path / "a")
    load(tmp_path / "a").save_pretrained(tmp_path / "b")
    again = Upstream.from_pretrained(tmp_path / "b")
    assert all(torch.equal(p, again.get_parameter(n)) for n, p in theirs.named_parameters())
