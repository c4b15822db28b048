"""Device names in, Paddle's device string out; what is absent is refused with a remedy."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import paddle
import pytest

from hfpaddle import backends
from hfpaddle.backends import registry, resolve
from hfpaddle.core.errors import DeviceError, UnsupportedArgumentError

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def no_choice_in_environment(monkeypatch):
    monkeypatch.delenv(resolve.ENV, raising=False)
    monkeypatch.delenv("FLAGS_selected_gpus", raising=False)


@pytest.fixture
def two_gpus(monkeypatch):
    """Let the gpu backend count two devices, as on a machine that has them."""
    backends.backends()
    gpu = dataclasses.replace(registry._BACKENDS["gpu"], count=lambda: 2, label=lambda i: f"G{i}")
    monkeypatch.setitem(registry._BACKENDS, "gpu", gpu)


def test_every_file_of_the_folder_registers_itself():
    assert {"cpu", "gpu", "xpu", "nulldev"} <= set(backends.backends())


@pytest.mark.parametrize("spec", ["cpu", "CPU", "cpu:0", -1, None, "auto", paddle.CPUPlace()])
def test_names_of_the_cpu(spec):
    assert backends.resolve_device(spec) == "cpu"


def test_place_of_a_tensor_and_torch_style_objects():
    assert backends.resolve_device(paddle.ones([1]).place) == "cpu"
    assert backends.resolve_device(SimpleNamespace(type="cpu", index=None)) == "cpu"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("cuda", "gpu:0"),
        ("cuda:1", "gpu:1"),
        ("gpu", "gpu:0"),
        ("dcu:1", "gpu:1"),
        (1, "gpu:1"),
        ("auto", "gpu:0"),
        (SimpleNamespace(type="cuda", index=1), "gpu:1"),
        (SimpleNamespace(type="cuda", index=None), "gpu:0"),
    ],
)
def test_names_of_gpus(two_gpus, spec, expected):
    assert backends.resolve_device(spec) == expected


def test_name_without_index_means_the_current_device(two_gpus, monkeypatch):
    monkeypatch.setattr(paddle.device, "get_device", lambda: "gpu:1")
    assert backends.resolve_device("cuda") == "gpu:1"
    assert backends.resolve_device("auto") == "gpu:1"
    assert backends.resolve_device() == "gpu:1"


def test_name_without_index_follows_the_launcher(two_gpus, monkeypatch):
    monkeypatch.setenv("FLAGS_selected_gpus", "1")
    assert backends.resolve_device("gpu") == "gpu:1"


def test_environment_decides_where_the_call_does_not(two_gpus, monkeypatch):
    monkeypatch.setenv(resolve.ENV, "cuda:1")
    assert backends.resolve_device() == backends.resolve_device("auto") == "gpu:1"
    assert backends.resolve_device("cpu") == "cpu"
    monkeypatch.setenv(resolve.ENV, "auto")
    assert backends.resolve_device() == "gpu:0"
    monkeypatch.setenv(resolve.ENV, "mps")
    with pytest.raises(DeviceError, match="'mps' .from HFPADDLE_DEVICE.*available: .'cpu'"):
        backends.resolve_device()


@pytest.mark.parametrize("spec", ["cuda:0", "gpu", "xpu:0", "nulldev", 0])
def test_absent_device_is_named_with_what_is_there_and_a_remedy(spec):
    if backends.resolve_device("auto") != "cpu":
        pytest.skip("this machine has an accelerator")
    with pytest.raises(DeviceError, match=r"available: \['cpu'\].*([Ii]nstall|Build)") as caught:
        backends.resolve_device(spec)
    assert str(spec) in str(caught.value)


@pytest.mark.parametrize("spec", ["mps", "", "gpu:x", "cuda:", "gpu:-1", True, 1.5, [], "gpu:2"])
def test_what_names_no_device(two_gpus, spec):
    with pytest.raises(DeviceError, match="available|Pass one of"):
        backends.resolve_device(spec)


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential", 0, "cuda:0", {"": "gpu"}])
def test_maps_of_a_whole_model(two_gpus, device_map):
    assert backends.resolve_device_map(device_map) == "gpu:0"


def test_map_that_names_one_device_in_two_ways(two_gpus):
    assert backends.resolve_device_map({"model": 1, "lm_head": "cuda:1"}) == "gpu:1"
    assert backends.resolve_device_map(None) == "cpu"


@pytest.mark.parametrize(
    ("device_map", "named"),
    [
        ({"model": 0, "lm_head": "cpu"}, "'lm_head' on 'cpu'"),
        ({"model": 0, "lm_head": 1}, "'lm_head' on 'gpu:1'"),
        ({"model": "disk", "lm_head": 0}, "'disk'"),
        ({"": SimpleNamespace(type="meta", index=None)}, "'meta'"),
        ("disk", "'disk'"),
        ("meta", "'meta'"),
        ({}, "{}"),
    ],
)
def test_maps_that_cannot_be_honoured(two_gpus, device_map, named):
    with pytest.raises(UnsupportedArgumentError, match=named):
        backends.resolve_device_map(device_map)


def test_unknown_map_is_refused(two_gpus):
    with pytest.raises(DeviceError, match="balanced_low_0"):
        backends.resolve_device_map("balanced_low_0")


def test_half_types_compute_in_float32_where_paddle_has_no_kernels(two_gpus):
    for device in ("cpu", "nulldev:0"):
        assert backends.compute_dtype(paddle.bfloat16, device) == paddle.float32
        assert backends.compute_dtype("float16", device) == paddle.float32
        assert backends.compute_dtype(paddle.float64, device) == paddle.float64
        assert backends.compute_dtype(paddle.int64, device) == paddle.int64
    assert backends.compute_dtype(paddle.bfloat16, "gpu:0") == paddle.bfloat16
    assert backends.compute_dtype("float16", "xpu:0") == paddle.float16


def test_describe_lists_what_is_there_and_why_the_rest_is_not(two_gpus):
    rows = {row["device"]: row for row in backends.describe()}
    assert rows["cpu"]["available"] and rows["cpu"]["name"]
    assert (rows["gpu:0"]["name"], rows["gpu:1"]["name"]) == ("G0", "G1")
    assert [device for device, row in rows.items() if row["default"]] == [
        paddle.device.get_device()
    ]
    assert not rows["xpu"]["available"]
    assert "XPU" in rows["xpu"]["reason"] and "Install" in rows["xpu"]["remedy"]


def test_host_memory_and_its_use():
    assert backends.shares_host_memory("cpu") and not backends.shares_host_memory("nulldev:0")
    used = backends.memory("cpu")
    assert 1 << 20 < used["allocated"] <= used["peak"]
    backends.synchronize("cpu")


def test_device_object_of_a_tensor():
    device = backends.device_object(paddle.ones([1]).place)
    assert (str(device), device.type, device.index) == ("cpu", "cpu", None)
    assert backends.resolve_device(device) == "cpu"


def test_a_name_is_registered_once():
    backends.backends()
    with pytest.raises(ValueError, match="'cuda' is already a name of 'gpu'"):
        backends.register_backend(dataclasses.replace(backends.custom_backend("cuda")))


def test_import_leaves_paddle_alone():
    code = "import hfpaddle.backends, sys; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
