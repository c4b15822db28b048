"""``hfpaddle.torch.safetensors`` against ``safetensors.torch``: same bytes, numbers, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors
import safetensors.torch as original
import torch as theirs

import hfpaddle.torch as ours
from hfpaddle.torch import safetensors as mirror

ours.install_methods()
SIDES = ((theirs, original), (ours, mirror))
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
          "bool", "complex64")  # fmt: skip


def tensors(library):
    found = {}
    for index, name in enumerate(DTYPES):
        found[f"{name}.{9 - index}"] = library.tensor([[0, 1, 2], [3, 4, 5]]).to(
            getattr(library, name)
        )
    return found | {"empty": library.zeros(0, 3), "scalar": library.tensor(2.5),
                    "é": library.ones(2)}  # fmt: skip


def values(tensor):
    if str(tensor.dtype).endswith("bfloat16"):
        tensor = tensor.float()
    return tensor.detach().numpy()


def same(got, want):
    assert str(got.dtype).split(".")[-1] == str(want.dtype).split(".")[-1]
    assert tuple(got.shape) == tuple(want.shape)
    np.testing.assert_array_equal(values(got), values(want))


@pytest.mark.parametrize("metadata", [None, {"format": "pt", "b": "ü"}])
def test_same_bytes(tmp_path, metadata):
    for library, module in SIDES:
        module.save_file(tensors(library), tmp_path / f"{library.__name__}.st", metadata)
    one, two = ((tmp_path / f"{lib.__name__}.st").read_bytes() for lib, _ in SIDES)
    assert len(one) == len(two)
    if not metadata:  # the library writes metadata in any order
        assert one == two
    assert mirror.save(tensors(ours), metadata) == two


def test_files_of_the_other(tmp_path):
    original.save_file(tensors(theirs), tmp_path / "a")
    mirror.save_file(tensors(ours), tmp_path / "b")
    for file in ("a", "b"):
        want, got = (module.load_file(tmp_path / file) for _, module in SIDES)
        again = mirror.load((tmp_path / file).read_bytes())
        assert list(got) == list(want) and set(again) == set(want)
        for name in want:
            same(got[name], want[name])
            same(again[name], want[name])


def test_a_loaded_tensor_is_ones_own(tmp_path):
    mirror.save_file({"a": ours.ones(3)}, tmp_path / "a")
    first = mirror.load_file(str(tmp_path / "a"), device="cpu")["a"]
    first += 1
    assert first.tolist() == [2, 2, 2]
    assert mirror.load_file(tmp_path / "a")["a"].tolist() == [1, 1, 1]


INDICES = {
    "int": 1, "last": -1, "slice": slice(0, 1), "beyond": slice(0, 9), "step": slice(None, None, 2),
    "two": (slice(None), slice(1, 3)), "ellipsis": (..., slice(0, 1)), "all": ..., "list": [0],
    "none": None, "nothing": slice(1, 1),
}  # fmt: skip


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_slices(tmp_path, index):
    file = tmp_path / "a"
    original.save_file({"a": theirs.arange(6.0).reshape(2, 3).bfloat16()}, file)
    with safetensors.safe_open(file, "pt") as want, mirror.safe_open(file, "pt") as got:
        same(got.get_slice("a")[index], want.get_slice("a")[index])
        assert got.get_slice("a").get_shape() == want.get_slice("a").get_shape()
        assert got.get_slice("a").get_dtype() == want.get_slice("a").get_dtype()


def test_safe_open(tmp_path):
    file = str(tmp_path / "a")
    original.save_file(tensors(theirs), file, {"format": "pt"})
    with safetensors.safe_open(file, "pt") as want, mirror.safe_open(file, framework="pt") as got:
        assert list(got.keys()) == list(want.keys())
        assert list(got.offset_keys()) == list(want.offset_keys())
        assert got.metadata() == want.metadata() == {"format": "pt"}
        for name in want.keys():  # noqa: SIM118 - no dictionary
            same(got.get_tensor(name), want.get_tensor(name))
            same(got.get_tensor(name), want.get_tensor(name))  # twice
    with mirror.safe_open(file, "np") as arrays:
        assert isinstance(arrays.get_tensor("scalar"), np.ndarray)


def refusals(library, module, folder):
    base = library.arange(12.0).reshape(3, 4)
    good = folder / "good"
    module.save_file({"a": library.ones(2)}, good)
    (folder / "bad").write_bytes(good.read_bytes()[:-3])
    return [
        lambda: module.save_file({"a": base, "b": base}, folder / "x"),
        lambda: module.save_file({"a": base[:2], "b": base[1:]}, folder / "x"),
        lambda: module.save_file({"a": base.t()}, folder / "x"),
        lambda: module.save_file({"a": 1}, folder / "x"),
        lambda: module.save_file([base], folder / "x"),
        lambda: module.save({"a": base, "b": base.view(4, 3)}),
        lambda: module.load_file(folder / "nothing"),
        lambda: module.load_file(folder / "bad"),
        lambda: module.load(b"12"),
        lambda: getattr(module, "safe_open", safetensors.safe_open)(good, "pt").get_tensor("b"),
        lambda: getattr(module, "safe_open", safetensors.safe_open)(good, "pt").get_slice("a")[5],
        lambda: getattr(module, "safe_open", safetensors.safe_open)(good, "pqr"),
    ]


@pytest.mark.parametrize("number", range(12))
def test_refusals(tmp_path, number):
    kinds = []
    for library, module in SIDES:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - compared below
            refusals(library, module, tmp_path)[number]()
        kinds.append(caught.type)
    assert kinds[0] is kinds[1], (kinds, caught.value)


def test_parts_that_do_not_overlap_are_saved():
    for library, module in SIDES:
        base = library.arange(12.0).reshape(3, 4)
        found = module.load(module.save({"a": base[:1], "b": base[1:]}))
        assert found["b"].tolist() == base[1:].tolist()


class Tied:
    """A module with a tied weight, built alike in both libraries."""

    def __new__(cls, library):
        class Model(library.nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = library.nn.Embedding(5, 3)
                self.norm = library.nn.LayerNorm(3)
                self.head = library.nn.Linear(3, 5, bias=False)
                self.head.weight = self.embed.weight

        library.manual_seed(0)
        return Model()


def test_models(tmp_path):
    results = []
    for library, module in SIDES:
        file = tmp_path / library.__name__
        module.save_model(Tied(library), file, {"a": "b"})
        with safetensors.safe_open(file, "np") as opened:
            results.append((opened.metadata(), list(opened.keys())))
    assert results[0] == results[1]
    assert results[1][0]["head.weight"] == "embed.weight"
    for library, module in SIDES:
        for other, _ in SIDES:
            model = Tied(library)
            with library.no_grad():
                model.embed.weight.zero_()
            assert module.load_model(model, tmp_path / other.__name__) == (set(), [])
            assert model.head.weight is model.embed.weight
            want = Tied(theirs).embed.weight.detach().numpy()
            np.testing.assert_allclose(model.embed.weight.detach().numpy(), want, rtol=1e-6)


def test_models_that_do_not_fit(tmp_path):
    messages = []
    for library, module in SIDES:
        module.save_file({"norm.bias": library.ones(3), "more": library.ones(1)}, tmp_path / "a")
        model = Tied(library)
        missing, unexpected = module.load_model(model, tmp_path / "a", strict=False)
        with pytest.raises(RuntimeError) as caught:
            module.load_model(model, tmp_path / "a")
        messages.append((missing, unexpected, str(caught.value)))
    assert messages[0] == messages[1]
