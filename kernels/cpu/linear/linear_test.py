"""Products with weights in every stored format, at every level that this processor has."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import gguf
import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover
from hfpaddle.kernels.cpu.testing import to_bfloat16

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.linear", reason="the kernels were not built")
library = sys.modules["hfpaddle.kernels.cpu.library"]

pytestmark = pytest.mark.unit

ROWS, COLS = 37, 768
TOKENS = (1, 2, 3, 5, 8, 13, 16, 17, 40)
GGUF = {"Q4_0": 5, "Q8_0": 6, "Q4_K": 7, "Q5_K": 8, "Q6_K": 9, "Q5_0": 10}


def address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def integers(rng, group: int, zeros: bool):
    """Return a weight of four bits, packed as matrix.h says, and its values."""
    q = rng.integers(0, 16, (ROWS, COLS)).astype(np.uint8)
    halves = q.reshape(ROWS, -1, 2, 32)
    packed = np.ascontiguousarray((halves[:, :, 0] | halves[:, :, 1] << 4).reshape(ROWS, -1))
    scales = (rng.random((ROWS, COLS // group)) + 0.5).astype(np.float32)
    zero = rng.integers(0, 16, (ROWS, COLS // group)).astype(np.uint8) if zeros else None
    shift = np.repeat(zero, group, 1).astype(np.float64) if zeros else 8.0
    return packed, scales, zero, (q - shift) * np.repeat(scales, group, 1)


def blocks(rng, name: str):
    """Return random bytes of a GGUF format with sane scales, and the values that gguf reads."""
    kind = gguf.GGMLQuantizationType[name]
    size, count = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (ROWS * COLS // size, count)).astype(np.uint8)
    scales = (rng.random((len(data), 2)) * 0.02 + 0.001).astype(np.float16).view(np.uint8)
    if name == "Q6_K":
        data[:, -2:] = scales[:, :2]
    else:
        width = 4 if name in ("Q4_K", "Q5_K") else 2
        data[:, :width] = scales[:, :width]
    data = np.ascontiguousarray(data.reshape(ROWS, -1))
    return data, gguf.quants.dequantize(data, kind).reshape(ROWS, COLS).astype(np.float64)


def formats():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((ROWS, COLS)).astype(np.float32)
    yield "float32", w, None, None, 0, 0, w
    half = (w.view(np.uint32) >> 16).astype(np.uint16)
    yield "bfloat16", half, None, None, 1, 0, (half.astype(np.uint32) << 16).view(np.float32)
    yield "float16", w.astype(np.float16), None, None, 2, 0, w.astype(np.float16)
    whole = np.clip(np.rint(w * 30), -127, 127).astype(np.int8)
    for group in (32, 64, 128, COLS):
        scales = (rng.random((ROWS, COLS // group)) + 0.5).astype(np.float32)
        yield f"int8/{group}", whole, scales, None, 3, group, whole * np.repeat(scales, group, 1)
    for group in (32, 64, 128):
        for zeros in (False, True):
            packed, scales, zero, values = integers(rng, group, zeros)
            yield f"int4/{group}/{zeros}", packed, scales, zero, 4, group, values
    for name, kind in GGUF.items():
        data, values = blocks(rng, name)
        yield name, data, None, None, kind, 0, values


def rounded(x: np.ndarray) -> np.ndarray:
    """Return what integer weights meet: 8 bits and a scale for 32 columns."""
    groups = x.reshape(*x.shape[:-1], -1, 32)
    scale = np.abs(groups).max(-1, keepdims=True) / np.float32(127)
    q = np.rint(groups * (np.float32(127) / np.abs(groups).max(-1, keepdims=True)))
    return (q * scale).reshape(x.shape).astype(np.float64)


@pytest.mark.parametrize("case", formats(), ids=lambda case: case[0])
@pytest.mark.parametrize("tokens", TOKENS)
def test_product_and_rows(case, tokens):
    _, data, scales, zeros, kind, group, values = case
    bias = np.linspace(-1, 1, ROWS, dtype=np.float32)
    w = cpu.Matrix(data.ctypes.data, address(scales), address(zeros), address(bias), ROWS, COLS,
                   kind, group)  # fmt: skip
    x = np.random.default_rng(tokens).standard_normal((tokens, COLS)).astype(np.float32)
    y = np.full((tokens, ROWS), np.nan, np.float32)
    cpu._linear(w, x.ctypes.data, y.ctypes.data, tokens)
    rounds = library.library().hf_rounds(kind) if tokens >= 17 else kind >= 3
    inputs = x.astype(np.float64)
    if rounds:
        inputs = rounded(x) if kind >= 3 else to_bfloat16(x)
    expected = inputs @ values.astype(np.float64).T + bias
    np.testing.assert_allclose(y, expected, atol=2e-6 * np.abs(expected).max() + 1e-6)
    ids = np.array([ROWS - 1, 0, 5])
    rows = np.zeros((3, COLS), np.float32)
    pointers = (ctypes.c_void_p(a.ctypes.data) for a in (ids, rows))
    which, out = pointers
    library.library().hf_rows(ctypes.byref(w), which, ctypes.c_int64(3), out)
    np.testing.assert_allclose(rows, values[ids], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(1, 33), (2, 3, 65), (8, 7)])
def test_stored_weights_give_what_the_reference_gives(dtype, shape):
    paddle.seed(0)
    x, w, b = paddle.randn(shape), paddle.randn([19, shape[-1]]), paddle.randn([19])
    w, b = w.astype(dtype), b.astype(dtype)
    with paddle.no_grad():
        expected = ops.linear.reference(x, w, b)
        with hfpaddle.kernels.use(linear="cpu"):
            got = ops.linear(x, w, b)
            turned = ops.linear(x[..., ::2].contiguous(), w[:, ::2])
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        expected = ops.linear.reference(x[..., ::2], w[:, ::2])
        np.testing.assert_allclose(turned, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [2, 3, 5, 8, 11, 16])
def test_few_rows_and_a_large_weight(rows):
    paddle.seed(rows)
    x, w, b = paddle.randn([rows, 1, 520]), paddle.randn([2053, 520]), paddle.randn([2053])
    with paddle.no_grad():
        assert ops.linear.choose(x, w, b) is cpu.linear_cpu
        expected = ops.linear.reference(x, w, b)
        np.testing.assert_allclose(ops.linear(x, w, b), expected, rtol=1e-5, atol=1e-4)
        many = paddle.randn([17, 520])
        assert ops.linear.choose(many, w) is ops.linear.reference
        assert ops.linear.choose(x[0], w) is ops.linear.reference
        assert ops.linear.choose(x, w[:100]) is ops.linear.reference


def test_what_it_leaves_to_the_reference():
    few, w = paddle.randn([9, 8]), paddle.randn([4, 8]).astype("bfloat16")
    with paddle.no_grad():
        assert ops.linear.choose(few, w) is cpu.linear_cpu
        assert ops.linear.choose(few, w.astype("float32")) is ops.linear.reference
        with hfpaddle.kernels.use(linear="reference"):
            assert ops.linear.choose(few, w) is ops.linear.reference
    few.stop_gradient = False
    assert ops.linear.choose(few, w) is ops.linear.reference  # it has no backward pass
    w.stop_gradient = False
    few = few.detach()
    assert ops.linear.choose(few, w) is ops.linear.reference


def levels():
    best = library._load(library.FOLDER / "hfpaddle_cpu_generic.so").hf_level()
    return library.LEVELS[: best + 1]


@pytest.mark.parametrize("level", levels()[:-1])
def test_lower_levels_pass_the_same_tests(level):
    if os.environ.get("HFPADDLE_CPU_LEVEL"):
        pytest.skip("runs once")
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", __file__, "-k", "product"]
    variables = {**os.environ, "HFPADDLE_CPU_LEVEL": level}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-2000:]


MISSING = """
import importlib, pathlib, sys
module = importlib.import_module("hfpaddle.kernels.cpu.library")
module.FOLDER = pathlib.Path(sys.argv[1])
module.library.cache_clear()
print(module.library(), module.library())
"""


def test_settings(tmp_path):
    code = "from hfpaddle.kernels.cpu.library import library; print(library())"
    off = {**os.environ, "HFPADDLE_CPU_KERNELS": "0"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=off,
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "None\n", done.stderr
    wrong = {**os.environ, "HFPADDLE_CPU_LEVEL": "avx9"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=wrong,
                          capture_output=True, text=True)  # fmt: skip
    assert "UnsupportedArgumentError" in done.stderr and "avx9" in done.stderr
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", MISSING, str(tmp_path)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "None None\n" and done.stderr.count("was not built") == 1, done.stderr


HEAP = """
import re, paddle
from hfpaddle.kernels.cpu.library import library
library()
def resident(): return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = resident()
blocks = [paddle.ones([1 << 20]) for _ in range(40)]
del blocks
print((resident() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_becomes_of_freed_memory():
    def run(heap):
        return subprocess.run([sys.executable, "-W", "ignore", "-c", HEAP], text=True,
                              env={**os.environ, "HFPADDLE_CPU_HEAP": heap},
                              capture_output=True)  # fmt: skip

    kept, given_back = run("keep"), run("small")  # of 160 MB
    assert int(kept.stdout) > 120, kept.stderr
    assert int(given_back.stdout) < 40, given_back.stderr
    wrong = run("big")
    assert "UnsupportedArgumentError" in wrong.stderr and "HFPADDLE_CPU_HEAP=big" in wrong.stderr
