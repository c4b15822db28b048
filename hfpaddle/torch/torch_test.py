"""hfpaddle.torch by itself: what does not need the original to be told right from wrong."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import paddle
import pytest

import hfpaddle.torch as torch
from hfpaddle.backends import resolve_device
from hfpaddle.core.errors import (
    DeviceError,
    MissingFeatureError,
    UnsafeCheckpointError,
    UnsupportedArgumentError,
)

pytestmark = pytest.mark.unit


def test_types_are_paddles():
    assert torch.Tensor is paddle.Tensor and torch.float32 is paddle.float32
    assert torch.uint16 is not torch.bfloat16
    assert [str(d) for d in (torch.long, torch.half, torch.uint16)] == [
        "torch.int64", "torch.float16", "torch.uint16",
    ]  # fmt: skip


def test_a_missing_name_says_so_and_names_the_nearest():
    with pytest.raises(AttributeError, match="'argmaxx' .nearest: 'argmax'"):
        _ = torch.argmaxx
    assert not hasattr(torch, "io")


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("onnx.export", "paddle2onnx"),
        ("export.export", "paddle.jit.save"),
        ("hub.load", "from_pretrained"),
        ("func.jacrev", "autograd.grad"),
        ("fx.symbolic_trace", "as it is"),
        ("jit.load", "state dict"),
        ("library.Library", "custom_op"),
    ],
)
def test_placeholders_raise_with_a_remedy(path, remedy):
    function = torch
    for part in path.split("."):
        function = getattr(function, part)
    with pytest.raises(MissingFeatureError, match=remedy):
        function("x")


def test_device():
    cuda = torch.device("cuda", 1)
    assert cuda == torch.device("gpu:1") == torch.device(cuda) and cuda == torch.device("cuda:1")
    assert resolve_device(torch.device("cpu")) == "cpu"
    with pytest.raises(RuntimeError, match="nearest: 'cuda'"):
        torch.device("cudaa")
    with pytest.raises(AttributeError, match="not writable"):
        cuda.type = "cpu"
    if not paddle.is_compiled_with_cuda():
        with pytest.raises(DeviceError):
            torch.zeros(1, device="cuda:0")
        with pytest.raises(DeviceError, match="no CUDA device"):
            torch.ones(1).cuda()
    assert pickle.loads(pickle.dumps(cuda)) == cuda


def test_meta_tensors_have_no_data():
    with torch.device("meta"):
        x = torch.zeros(1000, 1000, 1000)
    assert x.is_meta and x.untyped_storage().nbytes() <= 8
    assert torch.zeros(1).device == torch.device("cpu")
    with pytest.raises(MissingFeatureError, match="meta tensor"):
        x.to("cpu")
    with pytest.raises(RuntimeError):
        torch.zeros((), device="meta").item()


def test_numpy_shares_memory_both_ways():
    array = np.zeros(3, np.float32)
    x = torch.from_numpy(array)
    x.add_(2)
    assert array.tolist() == [2, 2, 2]
    back = x.numpy()
    back[0] = 7
    assert array[0] == 7 and x[0].item() == 7
    with pytest.raises(ValueError, match="negative"):
        torch.from_numpy(array[::-1])
    with pytest.raises(TypeError, match="object"):
        torch.from_numpy(np.array(["a"], object))


def test_a_write_whose_gradient_would_be_lost_is_refused():
    """Paddle does not carry the gradient of a written view to its base."""
    w = torch.ones(3, requires_grad=True)
    base = w * 2
    with pytest.raises(RuntimeError, match="view's base"):
        base[1:].mul_(5)
    base[1:] = w[1:] * 5
    base.sum().backward()
    assert w.grad.tolist() == [2, 5, 5]


def test_generators_are_independent_streams():
    first, second = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b = torch.rand(3, generator=first), torch.rand(3, generator=second)
    assert torch.equal(a, b) and torch.equal(before, torch.get_rng_state())
    copy = pickle.loads(pickle.dumps(first))
    assert torch.equal(torch.rand(2, generator=copy), torch.rand(2, generator=first))
    with pytest.raises(TypeError, match="torch.Generator"):
        torch.rand(2, generator=3)


def test_saved_files_are_aligned_zips_that_keep_sharing(tmp_path):
    x = torch.arange(6.0)
    saved = {
        "x": x,
        "tail": x[4:],
        "p": paddle.base.framework.EagerParamBase.from_tensor(x.clone()),
    }
    torch.save(saved, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        names = archive.namelist()
        assert names == ["x/data.pkl", "x/byteorder", "x/data/0", "x/data/1", "x/version"]
        for info in archive.infolist():
            raw = (tmp_path / "x.pt").read_bytes()[info.header_offset :][:30]
            start = info.header_offset + 30 + int.from_bytes(raw[26:28], "little")
            assert (start + int.from_bytes(raw[28:30], "little")) % 64 == 0
    back = torch.load(tmp_path / "x.pt")
    back["x"][5] = 70.0
    assert back["tail"].tolist() == [4, 70] and isinstance(back["p"], type(saved["p"]))
    assert torch.load(tmp_path / "x.pt")["x"].tolist() == [0, 1, 2, 3, 4, 5]


def test_load_refuses_code_unless_it_is_allowed():
    buffer = io.BytesIO()
    torch.save({"a": os.getcwd}, buffer)
    buffer.seek(0)
    with pytest.raises(UnsafeCheckpointError, match="getcwd"):
        torch.load(buffer)
    buffer = io.BytesIO()
    torch.save({"a": np.random.RandomState(0).get_state()[1], "b": OrderedDict(c=1)}, buffer)
    buffer.seek(0)
    assert isinstance(torch.load(buffer, weights_only=False)["b"], OrderedDict)
    with pytest.raises(UnsupportedArgumentError):
        torch.save(1, io.BytesIO(), _use_new_zipfile_serialization=False)


def test_half_types_compute_on_every_device():
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.bfloat16, requires_grad=True)
    y = (x.softmax(0) * x).sum() + torch.exp(x).mean()
    assert y.dtype is torch.bfloat16
    assert torch.isfinite(y)
    assert x.to(torch.float16).mul(2).tolist() == [2, 4, 8]


def test_uninstalled_functions_still_work():
    torch.uninstall_methods()
    try:
        found = torch.max(torch.tensor([[1, 5], [7, 2]]), dim=1)
        assert np.asarray(found.values).tolist() == [5, 7]
    finally:
        torch.install_methods()
