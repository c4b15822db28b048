"""Norms: gradients do not depend on which parameters are trained."""

import numpy as np
import paddle
import pytest

from hfpaddle import ops

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("bias_frozen", [True, False])
def test_frozen_weight_counts_in_the_gradient_of_layer_norm(bias_frozen):
    """Adapters train below norms that are frozen."""
    draw = np.random.default_rng(0)
    values, weight, outer = (draw.normal(size=s).astype("float32") for s in ((4, 8), (8,), (4, 8)))
    grads = []
    for weight_frozen in (False, True):
        x = paddle.to_tensor(values, stop_gradient=False)
        w = paddle.to_tensor(weight, stop_gradient=weight_frozen)
        b = paddle.to_tensor(weight, stop_gradient=bias_frozen)
        (ops.layer_norm(x, w, b) * paddle.to_tensor(outer)).sum().backward()
        grads.append(x.grad.numpy())
        assert (w.grad is None) is weight_frozen
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-5, atol=1e-6)
