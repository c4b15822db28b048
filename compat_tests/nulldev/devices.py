"""Run by test_nulldev.py: device names on a machine that has the null device."""

from __future__ import annotations

from types import SimpleNamespace

import paddle

from hfpaddle import backends
from hfpaddle.core.errors import DeviceError, UnsupportedArgumentError


def raises(kind: type[Exception], call, *words: str) -> None:
    try:
        call()
    except kind as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(f"no {kind.__name__}")


assert backends.resolve_device() == backends.resolve_device("auto") == "nulldev:0"
paddle.set_device("nulldev:1")
assert backends.resolve_device() == backends.resolve_device("nulldev") == "nulldev:1"
assert backends.resolve_device(0) == "nulldev:0"
assert backends.resolve_device(paddle.CustomPlace("nulldev", 1)) == "nulldev:1"
assert backends.resolve_device(SimpleNamespace(type="nulldev", index=0)) == "nulldev:0"
assert backends.resolve_device_map({"model": "nulldev:0", "lm_head": 0}) == "nulldev:0"
raises(DeviceError, lambda: backends.resolve_device("nulldev:2"), "number 2", "nulldev:1")
raises(DeviceError, lambda: backends.resolve_device("cuda"), "'cuda'", "nulldev:0", "Install")
spread = {"model": "nulldev:0", "lm_head": "cpu"}
raises(UnsupportedArgumentError, lambda: backends.resolve_device_map(spread), "'lm_head' on 'cpu'")

device = backends.device_object(paddle.ones([1]).place)
assert (str(device), device.type, device.index) == ("nulldev:1", "nulldev", 1)
assert backends.resolve_device(device) == "nulldev:1"

before = backends.memory("nulldev:0")["allocated"]
kept = paddle.ones([1024, 1024]).to("nulldev:0")
backends.synchronize("nulldev:0")
assert backends.memory("nulldev:0")["allocated"] - before >= kept.numel().item() * 4
rows = {row["device"]: row for row in backends.describe()}
assert rows["nulldev:1"]["default"] and rows["nulldev:0"]["available"]

# The null device is for tests: only its being current makes "auto" choose it.
paddle.set_device("cpu")
assert backends.resolve_device() == backends.resolve_device("auto") == "cpu"
print("ok")
