"""Memory behind mapped tensors is given back without a change to any value."""

import mmap

import numpy as np
import paddle
import pytest

from hfpaddle.converters.mapped import MappedFile, Storage, release_pages, storage_entry

pytestmark = pytest.mark.unit


def resident(address: int) -> int:
    """Resident bytes of the mapping that holds ``address``."""
    inside = False
    for line in open("/proc/self/smaps"):
        first, _, rest = line.partition(" ")
        if "-" in first and not first.endswith(":"):
            low, high = (int(part, 16) for part in first.split("-"))
            inside = low <= address < high
        elif inside and first == "Rss:":
            return int(rest.split()[0]) * 1024
    raise AssertionError("no such mapping")


def test_pages_go_and_come_back(tmp_path):
    size = 1 << 20
    values = np.arange(size, dtype="float32")
    values.tofile(tmp_path / "x")
    file = MappedFile(tmp_path / "x")
    storage = Storage(file, 0, file.size)
    # Neither end lies on a page: what else is on those pages stays.
    entry = storage_entry("a", storage, "float32", [size - 20], offset=10)
    tensor = entry.load()
    assert float(tensor.sum()) > 0
    address = tensor.data_ptr()
    assert resident(address) >= 4 * size - 2 * mmap.PAGESIZE
    release_pages(tensor)
    assert resident(address) <= 4 * mmap.PAGESIZE
    np.testing.assert_array_equal(tensor.numpy(), values[10:-10])


def test_other_memory_is_left_alone(tmp_path):
    np.zeros(1 << 16, "float32").tofile(tmp_path / "x")
    file = MappedFile(tmp_path / "x")
    tensor = paddle.ones([1 << 16])
    release_pages(tensor)
    np.testing.assert_array_equal(tensor.numpy(), 1.0)
    assert file.size == 1 << 18
