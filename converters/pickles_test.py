"""The pickle reader: agrees with pickle on plain values, stays small and fast on bombs."""

from __future__ import annotations

import pickle
import struct
import sys
import time
import tracemalloc
from collections import OrderedDict

import pytest

from hfpaddle.converters.fixtures_test import written
from hfpaddle.converters.mapped import MappedFile
from hfpaddle.converters.pickles import Call, PickleReader, Span, pairs_dict, scalar_set
from hfpaddle.core.errors import CheckpointError

pytestmark = pytest.mark.unit

NAMES = {"collections.OrderedDict": Call(pairs_dict), "builtins.set": Call(scalar_set)}


def load(tmp_path, data: bytes):
    file = MappedFile(written(tmp_path, "p", data))
    return PickleReader(file, 0, file.size, NAMES).load()


PLAIN = {
    "none": None,
    "flags": [True, False],
    "ints": [0, 255, 256, 65535, 65536, -1, 1 << 31, -(1 << 40), 1 << 200],
    "floats": [0.5, float("inf"), -1e300],
    "texts": ["", "é\U0001f600", "x" * 300, "\ud800"],
    "nested": {"a": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], 3: {"b": {}}, None: 1, True: 2},
    "ordered": OrderedDict(a=1, b=[2]),
    "set": {1, "a"},
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_what_pickle_gives(tmp_path, protocol):
    assert load(tmp_path, pickle.dumps(PLAIN, protocol)) == PLAIN


def test_shared_objects_stay_shared_and_cycles_load(tmp_path):
    shared, cycle = [1], []
    cycle.append(cycle)
    got = load(tmp_path, pickle.dumps([shared, shared, cycle], 4))
    assert got[0] is got[1] and got[2][0] is got[2]


def test_long_strings_stay_in_the_file(tmp_path):
    text, raw = load(tmp_path, pickle.dumps(["x" * 5000, b"\x00" * 10], 4))
    assert isinstance(text, Span) and text.encoding == "utf-8"
    assert text.file.bytes(text.start, text.stop) == b"x" * 5000
    assert isinstance(raw, Span) and raw.stop - raw.start == 10


def _index_bomb(index: int) -> bytes:
    return b"\x80\x02]r" + struct.pack("<I", index) + b"."


BOMBS = {
    "steps": b"\x80\x02" + b"]" * 5_000_000 + b".",
    # One list of pairs, converted again and again: small file, quadratic memory.
    "conversions": (
        b"\x80\x02]q\x00("
        + b"".join(b"M" + struct.pack("<H", n) + b"N\x86" for n in range(20_000))
        + b"e0"
        + b"ccollections\nOrderedDict\nq\x010" + b"h\x01h\x00\x85R" * 200_000 + b"."
    ),
    "declared text": b"\x80\x02X\xff\xff\xff\xff.",
    "declared bytes": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b".",
    "declared integer": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "unhashable key": b"\x80\x02}]K\x01s.",
    "tuple key": b"\x80\x02})K\x01s.",
    "deep tuple key": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
    "no mark": b"\x80\x02]e.",
    "empty stack": b"\x80\x02.",
    "unknown memo": b"\x80\x02h\x07.",
    "append to a number": b"\x80\x02K\x01K\x01a.",
    "call of a number": b"\x80\x02K\x01)R.",
    "call with a list": b"\x80\x02ccollections\nOrderedDict\n]R.",
    "state for a number": b"\x80\x02K\x01}b.",
    "persistent id": b"\x80\x02K\x01Q.",
    "unterminated name": b"\x80\x02c" + b"a" * 2000,
    "name that is no text": b"\x80\x04K\x01K\x02\x93.",
    "bad UTF-8": b"\x80\x02X\x02\x00\x00\x00\xff\xff.",
    "odd items": b"\x80\x02}(K\x01u.",
    "extension": b"\x80\x02\x82\x01.",
    "instance": b"\x80\x02(cos\nsystem\no.",
    "no stop": b"\x80\x02]",
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_and_damage_raise_soon_and_small(tmp_path, case):
    # Tracing slows the reader tenfold, so only the cases that could grow are traced.
    traced = len(BOMBS[case]) < 1_000_000
    if traced:
        tracemalloc.start()
    begin = time.perf_counter()
    try:
        with pytest.raises(CheckpointError, match="p: |p refers"):
            load(tmp_path, BOMBS[case])
        peak = tracemalloc.get_traced_memory()[1] if traced else 0
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - begin < 60
    assert peak < 64 << 20


def test_a_huge_memo_index_costs_nothing(tmp_path):
    assert load(tmp_path, _index_bomb(0xFFFFFFFF)) == []


def test_deep_nesting_is_built_and_freed_without_recursion(tmp_path):
    depth = 300_000
    value = load(tmp_path, b"\x80\x02)" + b"\x85" * depth + b".")
    count = 0
    while value:
        value, count = value[0], count + 1
    assert count == depth
    load(tmp_path, b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")
    assert sys.getrecursionlimit() < depth
