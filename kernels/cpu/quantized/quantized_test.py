"""Products with weights of 8 and 4 bits, and rows of them, against the reference."""

from __future__ import annotations

from functools import partial

import gguf
import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover
from hfpaddle.layers.quantized import QuantizedLinear, quantize
from hfpaddle.ops.quantized import Format

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.quantized", reason="the kernels were not built")

pytestmark = pytest.mark.unit

ROWS, COLS = 37, 192


def blocks(name: str, rows: int, cols: int):
    """Return random bytes of a GGUF format and what they mean."""
    kind = gguf.GGMLQuantizationType[name]
    size, count = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(0).integers(0, 256, (rows * cols // size, count)).astype(np.uint8)
    at = data.shape[1] - 2 if name == "Q6_K" else 0
    width = 4 if name in ("Q4_K", "Q5_K") else 2
    scales = np.full((len(data), width // 2), 0.01, np.float16).view(np.uint8)
    data[:, at : at + width] = scales
    stored = Format(name, size, count, partial(unpack, kind))
    return stored, paddle.to_tensor(data.reshape(rows, -1)), None, None


def unpack(kind, data: np.ndarray) -> np.ndarray:
    return gguf.quants.dequantize(np.ascontiguousarray(data), kind)


def integers(bits: int, group: int, symmetric: bool, rows: int = ROWS, cols: int = COLS):
    values = np.random.default_rng(0).standard_normal((rows, cols)).astype(np.float32)
    parts = quantize(values, bits, group, symmetric)
    return Format(f"int{bits}", group), *(None if p is None else paddle.to_tensor(p) for p in parts)


CASES = {
    **{f"int8/{g}": partial(integers, 8, g, True) for g in (COLS, 32, 64)},
    **{f"int4/{g}/{s}": partial(integers, 4, g, s) for g in (32, 64) for s in (True, False)},
    **{name: partial(blocks, name, ROWS, COLS) for name in ("Q4_0", "Q5_0", "Q8_0")},
    **{name: partial(blocks, name, ROWS, 256) for name in ("Q4_K", "Q5_K", "Q6_K")},
}


def rounded(x: paddle.Tensor) -> paddle.Tensor:
    """Return what the kernel multiplies a few tokens' weights with: 8 bits for 32 columns."""
    groups = x.reshape([-1, x.shape[-1] // 32, 32])
    scale = groups.abs().max(-1, keepdim=True) / 127
    return ((groups / scale).round() * scale).reshape(x.shape)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [(1,), (2, 3), (2, 8), (3, 7), (40,)])
def test_products(case, shape):
    stored, *parts = CASES[case]()
    cols = 256 if case.endswith("_K") else COLS
    paddle.seed(1)
    x, bias = paddle.randn([*shape, cols]), paddle.randn([ROWS])
    # Where there is no VNNI, many tokens meet weights unpacked to float32.
    rounds = np.prod(shape) < 17 or cpu.library().hf_rounds(3)
    with paddle.no_grad(), hfpaddle.kernels.use(quantized_linear="cpu"):
        got = ops.quantized_linear(x, *parts, bias, stored)
    inputs = rounded(x) if rounds else x
    want = ops.quantized_linear.reference(inputs, *parts, bias, stored)
    error = (got - want).abs().max() / want.abs().max()
    assert got.shape == want.shape and error < 2e-5
    exact = ops.quantized_linear.reference(x, *parts, bias, stored)
    assert (got - exact).norm() < 2e-2 * exact.norm()  # what the dispatch declares


def test_the_gradient_of_few_tokens_reaches_the_input():
    stored, *parts = CASES["int4/64/False"]()
    x, seen = paddle.randn([2, COLS]), []
    for run in (
        ops.quantized_linear.choose(x, *parts, None, stored),
        ops.quantized_linear.reference,
    ):
        leaf = x.clone().detach()
        leaf.stop_gradient = False
        run(leaf, *parts, None, stored).square().sum().backward()
        seen.append(leaf.grad)
    np.testing.assert_allclose(*seen, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_rows(case):
    stored, *parts = CASES[case]()
    cols = 256 if case.endswith("_K") else COLS
    ids = paddle.to_tensor([[ROWS - 1, 0], [5, 5]])
    with hfpaddle.kernels.use(quantized_rows="cpu"):
        got = ops.quantized_rows(ids, *parts, stored, cols)
    want = ops.quantized_rows.reference(ids, *parts, stored, cols)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    for run in (cpu.quantized_rows_cpu, ops.quantized_rows.reference):
        for wrong in (-1, ROWS):
            with pytest.raises(ValueError, match=str(wrong)):
                run(paddle.to_tensor([wrong]), *parts, stored, cols)


def test_what_it_leaves_to_the_reference():
    stored, *parts = integers(4, 32, True, cols=96)  # the kernel reads 64 columns at a time
    assert ops.quantized_linear.choose(paddle.randn([1, 96]), *parts, None, stored) is (
        ops.quantized_linear.reference
    )
    q4_1, *parts = blocks("Q4_1", ROWS, COLS)
    assert ops.quantized_linear.choose(paddle.randn([1, COLS]), *parts, None, q4_1) is (
        ops.quantized_linear.reference
    )


def test_large_tables_are_unpacked_in_parts(monkeypatch):
    monkeypatch.setattr(cpu, "MOST_WEIGHTS", 10 * COLS)
    stored, *parts = CASES["Q8_0"]()
    layer = QuantizedLinear(stored, COLS, parts[0], bias=paddle.randn([ROWS]))
    x = paddle.randn([9, COLS])
    x.stop_gradient = False
    want = paddle.matmul(x, layer.dequantize(), transpose_y=True) + layer.bias
    np.testing.assert_allclose(layer(x), want, rtol=1e-5, atol=1e-5)
