"""Parameters without memory, and tensors handed over without a copy."""

import numpy as np
import paddle
import pytest

from hfpaddle.core import rng
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.parameter import (
    assign,
    drawn_as,
    empty_parameters,
    fill,
    in_order,
    initialized,
    normal,
    parameter,
    redrawn,
    truncated_normal,
)

pytestmark = pytest.mark.unit


def test_empty_until_filled():
    with empty_parameters():
        param = parameter([2, 3])
        layer = Linear(3, 2)
    assert not initialized(param) and not initialized(layer.weight)
    assert param.shape == [2, 3] and not param.stop_gradient
    fill(param, 2.0)
    np.testing.assert_array_equal(param.numpy(), np.full((2, 3), 2.0))
    assert initialized(parameter([2])) and initialized(Linear(3, 2).weight)


def test_assign_shares_memory_and_takes_the_dtype():
    for dtype in ("float32", "bfloat16"):
        with empty_parameters():
            param = parameter([3])
        tensor = paddle.to_tensor([1.0, 2.0, 3.0]).astype(dtype)
        assign(param, tensor)
        assert param.dtype == tensor.dtype and param.data_ptr() == tensor.data_ptr()
        assert not param.stop_gradient
    tensor = paddle.zeros([3])
    assign(param, tensor)
    tensor[0] = 5.0
    assert float(param[0]) == 5.0


def test_gradient_of_an_assigned_parameter():
    with empty_parameters():
        layer = Linear(3, 2, bias=False)
    assign(layer.weight, paddle.ones([2, 3]))
    layer(paddle.ones([4, 3])).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), np.full((2, 3), 4.0))


def test_initialisers_draw_from_the_seeded_stream():
    draws = []
    for _ in range(2):
        rng.manual_seed(3)
        draws.append([parameter([4, 5], normal(0.1)).numpy(), truncated_normal(0.1, 2.0)([64])])
    for one, other in zip(*draws, strict=True):
        np.testing.assert_array_equal(one, other)
    cut = truncated_normal(0.5, 1.5)([4000])
    assert np.abs(cut).max() <= 0.75 and 0.3 < cut.std() < 0.4


def test_order_and_redraws_are_kept_on_the_layer():
    layer = paddle.nn.Layer()
    layer.a, layer.b, layer.c = (Linear(2, 2) for _ in range(3))
    assert list(in_order(layer, "c", "a")._sub_layers) == ["b", "c", "a"]
    assert list(layer.state_dict())[0] == "b.weight"
    redrawn(redrawn(layer, a=0.5), b=0.1)
    assert layer.redraws == ("a", "b") and (layer.a.init_std, layer.b.init_std) == (0.5, 0.1)


def test_half_types_draw_fewer_words():
    """A last partial block is drawn twice in float32, once in the half types."""
    after = {}
    for dtype in ("float32", "bfloat16", "float64", None):
        rng.manual_seed(3)
        with drawn_as(dtype):
            values = normal(1.0)([20])
        after[dtype] = float(rng.default_generator.uniform([1])[0])
        assert (np.abs(values) < 6).all()
    assert after["float32"] == after["float64"] == after[None] != after["bfloat16"]
