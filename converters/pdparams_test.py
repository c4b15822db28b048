"""Reading and writing .pdparams, PaddleNLP's names, malice and damage."""

from __future__ import annotations

import os
import pickle

import numpy as np
import paddle
import pytest

from hfpaddle.converters import pdparams
from hfpaddle.converters.fixtures_test import written
from hfpaddle.converters.mapped import tensor_bytes
from hfpaddle.converters.pdparams import (
    PADDLENLP_NAMES,
    hub_to_pdparams,
    is_paddlenlp_layout,
    pdparams_to_hub,
    read_pdparams,
    write_pdparams,
)
from hfpaddle.core.errors import (
    CheckpointError,
    MissingFileError,
    UnsafeCheckpointError,
    UnsupportedArgumentError,
)

pytestmark = pytest.mark.unit


def state() -> dict[str, paddle.Tensor]:
    tensors = {
        dtype: paddle.arange(12, dtype="float32").reshape([3, 4]).cast(dtype)
        for dtype in pdparams._CODES
    }
    return tensors | {
        "scalar": paddle.to_tensor(2.5),
        "empty": paddle.zeros([0, 3]),
        "long": paddle.linspace(-1, 1, 3000),  # longer than the reader keeps in memory
    }


def assert_same(entries, tensors) -> None:
    assert set(entries) == set(tensors)
    for name, want in tensors.items():
        got = entries[name].load() if hasattr(entries[name], "load") else entries[name]
        assert got.dtype == want.dtype and list(got.shape) == list(want.shape), name
        assert np.array_equal(tensor_bytes(got), tensor_bytes(want)), name


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("layout", ["arrays", "tuples"])
def test_reads_what_paddle_saves(tmp_path, protocol, layout):
    tensors = state()
    value = dict(tensors)
    if layout == "tuples":  # what paddle.save does when a value is no tensor
        value = {name: (name, t.numpy()) for name, t in tensors.items()} | {"epoch": 3}
    paddle.save(value, str(tmp_path / "m.pdparams"), protocol=protocol)
    entries = read_pdparams(tmp_path / "m.pdparams")
    assert_same(entries, tensors)
    assert entries["bfloat16"].dtype == "bfloat16" and entries["bfloat16"].shape == (3, 4)


def test_paddle_loads_what_we_write_and_so_do_we(tmp_path):
    tensors = state()
    write_pdparams(tmp_path / "m.pdparams", tensors | {"turned": tensors["float32"].T})
    tensors["turned"] = tensors["float32"].T.contiguous()
    assert_same(paddle.load(str(tmp_path / "m.pdparams")), tensors)
    entries = read_pdparams(tmp_path / "m.pdparams")
    assert_same(entries, tensors)
    assert entries["long"].load().data_ptr() == entries["long"].load().data_ptr()  # mapped
    write_pdparams(tmp_path / "again.pdparams", entries)
    assert (tmp_path / "again.pdparams").read_bytes() == (tmp_path / "m.pdparams").read_bytes()


def test_a_layer_takes_what_we_write(tmp_path):
    ours, theirs = paddle.nn.Linear(3, 4), paddle.nn.Linear(3, 4)
    write_pdparams(tmp_path / "m", ours.state_dict())
    theirs.set_state_dict(paddle.load(str(tmp_path / "m")))
    assert np.array_equal(theirs.weight.numpy(), ours.weight.numpy())


def test_float8_is_refused_and_the_old_file_stays(tmp_path):
    path = written(tmp_path, "m", b"old")
    with pytest.raises(UnsupportedArgumentError, match="float8_e4m3fn"):
        write_pdparams(path, {"w": paddle.ones([2]).cast("float8_e4m3fn")})
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["m"]


def test_column_major_and_split_arrays(tmp_path, monkeypatch):
    array = np.arange(6, dtype="f4").reshape(2, 3)
    path = written(tmp_path, "f", pickle.dumps({"w": np.asfortranarray(array)}, 4))
    assert read_pdparams(path)["w"].load().tolist() == array.tolist()
    split = {
        "w@@.0": array.ravel()[:4],
        "w@@.1": array.ravel()[4:],
        "UnpackBigParamInfor@@": {"w": {"OriginShape": (2, 3), "slices": ["w@@.0", "w@@.1"]}},
    }
    entries = read_pdparams(written(tmp_path, "s", pickle.dumps(split, 2)))
    assert list(entries) == ["w"] and entries["w"].load().tolist() == array.tolist()
    assert paddle.load(str(tmp_path / "s"))["w"].tolist() == array.tolist()


def test_loading_never_writes_to_the_file(tmp_path):
    write_pdparams(tmp_path / "m", {"w": paddle.ones([4])})
    before = (tmp_path / "m").read_bytes()
    read_pdparams(tmp_path / "m")["w"].load()[0] = 7.0
    assert (tmp_path / "m").read_bytes() == before


class _Attack:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "attack", [_Attack(os.system, "touch pwned"), _Attack(eval, "open('pwned', 'w')")]
)
def test_malicious_pickles_run_nothing(tmp_path, monkeypatch, attack, protocol):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "m.pdparams", pickle.dumps({"w": attack}, protocol))
    with pytest.raises(UnsafeCheckpointError, match="m.pdparams refers to '(posix|nt|builtins)"):
        read_pdparams(path)
    assert not (tmp_path / "pwned").exists()


def _array(**changes) -> bytes:
    """A pickle of one array whose state is changed by hand."""
    array = np.arange(6, dtype="f4").reshape(2, 3)
    state = list(array.__reduce__()[2])
    for at, value in changes.items():
        state[int(at[1:])] = value

    class Changed:
        def __reduce__(self):
            return (*array.__reduce__()[:2], tuple(state))

    return pickle.dumps({"w": Changed()}, 4)


@pytest.mark.parametrize(
    "data, word",
    [
        (_array(_1=(2, 4)), "should have 32 bytes"),
        (_array(_1=(1 << 70,)), "has size"),
        (_array(_1=(-2, -3)), "has size -2"),
        (_array(_1=("a",)), "has size 'a'"),
        (_array(_2=np.dtype("S4")), "numpy dtype 'S4'"),
        (_array(_2=np.dtype("O")), "numpy dtype 'O8'"),
        (_array(_2=np.dtype(">f4")), "m.pdparams: .*big-endian"),
        (_array(_2=3), "damaged"),
        (_array(_4=b"\0" * 23), "should have 24 bytes"),
        (_array(_4="\u0100" * 24), "damaged|should have"),
        (_array(_4=None), "no data"),
        (_array(_4="\u00e9" * 5000), "should have 24 bytes"),
        (pickle.dumps([1], 4), "holds a list"),
        (pickle.dumps({"a": 1}, 4), "no tensors"),
        (pickle.dumps({"w": np.ones(2), "n": {"b": np.ones(2)}}, 4), "'n' holds a dict"),
        (pickle.dumps({"w": np.ones(2), 3: np.ones(2)}, 4), "key 3"),
        (pickle.dumps({"w": np.ones(2), "UnpackBigParamInfor@@": {"x": {}}}, 4), "split tensors"),
        (pickle.dumps({"w": np.ones(2), "UnpackBigParamInfor@@": [1]}, 4), "split tensors"),
        (b"PK\x03\x04", "no pickle of paddle.save"),
        (b"", "is empty"),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path, data, word):
    with pytest.raises(CheckpointError, match=word):
        read_pdparams(written(tmp_path, "m.pdparams", data))


def test_text_data_of_the_wrong_length_is_found_when_decoded(tmp_path):
    # 6000 two-byte characters lie between the 6000 and 12000 bytes that 1600 items may take.
    data = _array(_1=(1600,), _4="\u00e9" * 6000)
    entry = read_pdparams(written(tmp_path, "m", data))["w"]
    with pytest.raises(CheckpointError, match="6000 bytes instead of 6400"):
        entry.load()


def test_truncation_missing_and_directory(tmp_path):
    write_pdparams(tmp_path / "m", state())
    data = (tmp_path / "m").read_bytes()
    for cut in {*range(1, len(data), 61), len(data) - 1}:
        with pytest.raises(CheckpointError):
            read_pdparams(written(tmp_path, "cut", data[:cut]))
    with pytest.raises(MissingFileError, match="gone does not exist"):
        read_pdparams(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="is a directory"):
        read_pdparams(tmp_path)


LLAMA = {
    "llama.embed_tokens.weight": "model.embed_tokens.weight",
    "llama.layers.0.self_attn.q_proj.weight": "model.layers.0.self_attn.q_proj.weight",
    "llama.norm.weight": "model.norm.weight",
    "lm_head.weight": "lm_head.weight",
}
_ENCODER = {
    "embeddings.word_embeddings.weight": "embeddings.word_embeddings.weight",
    "embeddings.layer_norm.bias": "embeddings.LayerNorm.bias",
    "encoder.layers.11.self_attn.q_proj.weight": "encoder.layer.11.attention.self.query.weight",
    "encoder.layers.11.self_attn.out_proj.bias": "encoder.layer.11.attention.output.dense.bias",
    "encoder.layers.11.linear1.weight": "encoder.layer.11.intermediate.dense.weight",
    "encoder.layers.11.linear2.weight": "encoder.layer.11.output.dense.weight",
    "encoder.layers.11.norm1.weight": "encoder.layer.11.attention.output.LayerNorm.weight",
    "encoder.layers.11.norm2.weight": "encoder.layer.11.output.LayerNorm.weight",
    "pooler.dense.weight": "pooler.dense.weight",
    "classifier.weight": "classifier.weight",
}
BERT = {f"bert.{name}": f"bert.{hub}" for name, hub in _ENCODER.items()}


@pytest.mark.parametrize("model_type, table", [("llama", LLAMA), ("bert", BERT)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_names_and_transposes_both_ways(tmp_path, model_type, table, dtype):
    tensors = {n: paddle.arange(6.0).reshape([2, 3]).cast(dtype) * i for i, n in enumerate(table)}
    write_pdparams(tmp_path / "m", tensors)
    entries = read_pdparams(tmp_path / "m")

    def is_linear(name: str) -> bool:
        return "norm" not in name.lower() and "embed" not in name and name.endswith("weight")

    hub = pdparams_to_hub(entries, is_linear, model_type=model_type)
    assert list(hub) == list(table.values())
    for name, hub_name in table.items():
        want = tensors[name].cast("float32").numpy()
        want = want.T if is_linear(hub_name) else want
        assert hub[hub_name].name == hub_name and hub[hub_name].shape == want.shape
        loaded = hub[hub_name].load()
        assert loaded.is_contiguous() and loaded.dtype == tensors[name].dtype
        assert np.array_equal(loaded.cast("float32").numpy(), want)
    linear = {name for name in hub if is_linear(name)}  # a container works as a predicate does
    assert_same(hub_to_pdparams(hub, linear, model_type=model_type), tensors)


def test_other_families_keep_their_names_and_a_vector_is_no_linear_weight(tmp_path):
    write_pdparams(
        tmp_path / "m",
        {"llama.w": paddle.ones([3]), "x.encoder.layers.0.norm1.w": paddle.ones([2])},
    )
    entries = read_pdparams(tmp_path / "m")
    assert list(pdparams_to_hub(entries, (), model_type="bart")) == list(entries)
    assert "x.encoder.layers.0.norm1.w" in pdparams_to_hub(entries, (), model_type="llama")
    with pytest.raises(CheckpointError, match=r"'llama.w' should be .* shape \[3\]"):
        pdparams_to_hub(entries, ["model.w"], model_type="llama")


def test_two_tensors_for_one_name_are_refused(tmp_path):
    write_pdparams(tmp_path / "m", {"llama.w": paddle.ones([1]), "model.w": paddle.ones([1])})
    with pytest.raises(CheckpointError, match="both become 'model.w'"):
        pdparams_to_hub(read_pdparams(tmp_path / "m"), (), model_type="llama")


@pytest.mark.parametrize(
    "names, form, model_type, want",
    [
        (LLAMA, "np", "llama", True),
        (LLAMA, "pt", "llama", True),
        (LLAMA.values(), "np", "llama", False),
        (LLAMA.values(), "pt", "llama", False),
        (BERT, "np", "bert", True),
        (BERT.values(), "np", "bert", False),
        (["layers.0.mlp.up_proj.weight"], "np", "llama", True),
        (["layers.0.mlp.up_proj.weight"], "pt", "llama", False),
        (["w"], "pd", "unknown", True),
    ],
)
def test_which_layout_a_safetensors_file_has(names, form, model_type, want):
    assert is_paddlenlp_layout(names, {"format": form}, model_type) is want


def test_every_family_of_the_table_inverts():
    for family in PADDLENLP_NAMES.values():
        for end in ["embed.w", *(pair[0].replace("#", "3") + "w" for pair in family.fragments)]:
            name = family.prefix[0] + end
            assert pdparams._rename(pdparams._rename(name, family, 0), family, 1) == name
