"""Damaged bytes of every format: each reader gives tensors or a CheckpointError, soon and small."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfpaddle.converters.fixtures_test import legacy_bytes, safetensors_bytes, state, zip_bytes
from hfpaddle.converters.folder import read_index
from hfpaddle.converters.pdparams import read_pdparams
from hfpaddle.converters.safetensors import read_safetensors
from hfpaddle.converters.torch_pickle import read_torch
from hfpaddle.core.errors import CheckpointError

pytestmark = pytest.mark.unit

# Fixed: the same inputs each time, so that a failure is a change of ours.
PROFILE = settings(
    max_examples=300, derandomize=True, deadline=5000, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LIMIT = 1 << 30  # bytes of address space that damage of a 1 kB file may ask for


def _safetensors() -> bytes:
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "BF16", "shape": [], "data_offsets": [16, 18]},
        "c": {"dtype": "U8", "shape": [0, 7], "data_offsets": [18, 18]},
    }
    return safetensors_bytes(header, bytes(range(18)))


def _pdparams(protocol: int) -> bytes:
    out = io.BytesIO()
    arrays = {"w": np.arange(6, dtype="f4").reshape(2, 3), "h": np.ones(3, "u2")}
    pickle.dump(arrays | {"t": ("t", np.ones((), "i8")), "n": 3}, out, protocol)
    return out.getvalue()


def _index() -> bytes:
    table = {"model.a": "model-00001-of-00002.safetensors", "model.b": "b.safetensors"}
    return json.dumps({"metadata": {"total_size": 10}, "weight_map": table}).encode()


SEEDS = {
    "safetensors": (_safetensors(), read_safetensors),
    "torch zip": (zip_bytes(state()), read_torch),
    "torch legacy": (legacy_bytes(state()), read_torch),
    "pdparams 2": (_pdparams(2), read_pdparams),
    "pdparams 4": (_pdparams(4), read_pdparams),
    "index": (_index(), read_index),
}
# Numbers that readers may trust: sizes just beside limits, signs, pickle and zip markers.
TOKENS = [
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff" * 8,
    struct.pack("<q", -1), struct.pack("<q", 1 << 62), b"PK\x03\x04", b"PK\x05\x06", b".", b"(",
    b"cos\nsystem\n", b"h\x00", b"R", b"b", b"Q", b"\x85", b"]", b"}", b"-1", b"1e400", b"null",
    b"9" * 30, b"[", b"{", b'"', b"../", b"\x8a\x08" + b"\xff" * 8, b"X\xff\xff\xff\xff",
]  # fmt: skip


@st.composite
def damaged(draw, seed: bytes) -> bytes:
    """``seed`` after one to four edits: overwrite, insert, delete, duplicate, cut."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        size = draw(st.integers(1, 40))
        piece = draw(st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=8))
        match draw(st.integers(0, 5)):
            case 0:
                data[at : at + len(piece)] = piece
            case 1:
                data[at:at] = piece
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case 4:
                del data[at:]
            case 5 if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Let an allocation that the file's size does not justify fail instead of succeeding slowly."""
    if sys.platform != "linux":
        yield
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


@pytest.mark.parametrize("name", SEEDS)
def test_the_seeds_are_read(name):
    seed, read = SEEDS[name]
    assert len(_attempt(seed, read)) >= 2


def _attempt(data: bytes, read) -> dict | None:
    """What the reader gives, every tensor loaded and read; ``None`` for a CheckpointError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        try:
            result = read(path)
            for entry in result.values():
                if not isinstance(entry, str):
                    _read_all(entry)
        except CheckpointError as error:
            assert 10 < len(str(error)) < 1000
            return None
        finally:
            assert path.read_bytes() == data
        return result


def _read_all(entry) -> None:
    loaded = entry.load()
    assert tuple(loaded.shape) == entry.shape and isinstance(loaded, paddle.Tensor)
    assert loaded.numpy().size == np.prod(entry.shape, dtype=object)


@pytest.mark.parametrize("name", SEEDS)
def test_damage_is_a_checkpoint_error_or_still_a_checkpoint(name):
    seed, read = SEEDS[name]
    outcomes = set()

    @PROFILE
    @given(damaged(seed))
    def run(data: bytes) -> None:
        outcomes.add(_attempt(data, read) is None)

    run()
    assert outcomes == {True, False}  # else the edits are too rough, or too gentle, to say anything
