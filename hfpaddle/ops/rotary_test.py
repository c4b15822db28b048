"""Rotation against complex numbers: values and gradients."""

import numpy as np
import paddle
import pytest

from hfpaddle import ops

pytestmark = pytest.mark.unit


def rotated(x, angles, interleaved):
    """The first elements of each head as complex numbers, turned by ``angles`` ``[b, S, P]``."""
    P = angles.shape[-1]
    turn = np.exp(1j * angles)[:, None]
    out = x.copy()
    if interleaved:
        z = (x[..., 0 : 2 * P : 2] + 1j * x[..., 1 : 2 * P : 2]) * turn
        out[..., 0 : 2 * P : 2], out[..., 1 : 2 * P : 2] = z.real, z.imag
    else:
        z = (x[..., :P] + 1j * x[..., P : 2 * P]) * turn
        out[..., :P], out[..., P : 2 * P] = z.real, z.imag
    return out


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("pairs", [4, 3, 1])
@pytest.mark.parametrize("rows", [1, 2])
def test_pairs_turn(rows, pairs, interleaved):
    random = np.random.default_rng(0)
    x, g = random.standard_normal([2, 2, 3, 5, 8])
    angles = random.standard_normal([rows, 5, pairs])
    tensor = paddle.to_tensor(x, "float32", stop_gradient=False)
    cos, sin = (paddle.to_tensor(f(angles), "float32") for f in (np.cos, np.sin))
    out = ops.rotary(tensor, cos, sin, interleaved)
    np.testing.assert_allclose(out, rotated(x, angles, interleaved), atol=1e-6)
    gradient = paddle.grad((out * paddle.to_tensor(g, "float32")).sum(), tensor)[0]
    np.testing.assert_allclose(gradient, rotated(g, -angles, interleaved), atol=1e-6)


def test_dtype_of_the_heads_is_kept():
    x = paddle.ones([1, 1, 2, 4], dtype="float64")
    angle = paddle.zeros([1, 2, 2])
    assert ops.rotary(x, paddle.cos(angle), paddle.sin(angle)).dtype == paddle.float64
