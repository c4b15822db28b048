"""Rounding to 8 and 4 bits: how far values move, and what the bytes mean."""

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle.layers.quantized import QuantizedEmbedding, QuantizedLinear, has_quantized, quantize
from hfpaddle.ops.quantized import Format

pytestmark = pytest.mark.unit


def made(bits, group, symmetric, values):
    parts = quantize(values, bits, group, symmetric)
    tensors = [None if part is None else paddle.to_tensor(part) for part in parts]
    return QuantizedLinear(Format(f"int{bits}", group), values.shape[1], *tensors), parts


@pytest.mark.parametrize("cols", [64, 96, 256])
@pytest.mark.parametrize("bits, symmetric", [(8, True), (4, True), (4, False)])
def test_values_move_by_half_a_step_at_most(bits, symmetric, cols):
    values = np.random.default_rng(0).standard_normal((11, cols)).astype(np.float32)
    values[3] = 0
    values[4] += 5  # all of one sign: zero stays representable
    group = cols if bits == 8 else 32
    layer, (_, scales, _) = made(bits, group, symmetric, values)
    got = layer.dequantize().numpy()
    step = np.repeat(scales, group, 1)
    assert (np.abs(got - values) <= 0.501 * step).all()
    assert (got[3] == 0).all() and np.abs(got - values).max() > 0
    x = paddle.randn([3, cols])
    with hfpaddle.kernels.use(quantized_linear="reference"):  # which rounds no activations
        got = layer(x.expand([4, 3, cols]))[2]
    want = paddle.matmul(x, layer.dequantize(), transpose_y=True)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_integers_come_back_as_they_were():
    q = np.random.default_rng(0).integers(-7, 8, (5, 64)).astype(np.float32)
    q[:, 0], q[:, 32] = 7, -7
    layer, (packed, scales, zeros) = made(4, 32, True, q)
    assert (scales == 1).all() and zeros is None
    assert (packed[:, 1] & 15 == q[:, 1] + 8).all() and (packed[:, 1] >> 4 == q[:, 33] + 8).all()
    assert (layer.dequantize().numpy() == q).all()


def test_layers():
    layer, _ = made(8, 64, True, np.ones((7, 64), np.float32))
    assert all(p.stop_gradient for p in layer.parameters()) and has_quantized(layer)
    assert "out_features=7" in layer.extra_repr() and "int8/64" in layer.extra_repr()
    table = QuantizedEmbedding(layer.stored, 64, layer.weight, scale=3.0)
    table.scales = layer.scales
    assert (table(paddle.to_tensor([[1, 6]])).numpy().round(3) == 3).all()
    for wrong in (-1, 7):
        with pytest.raises(IndexError, match=f"id {wrong}, but the table has 7 rows"):
            table(paddle.to_tensor([[1, wrong]]))
    assert not has_quantized(paddle.nn.Linear(2, 2))
