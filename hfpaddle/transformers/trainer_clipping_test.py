"""The joint norm of gradients, and what is left of them."""

import numpy as np
import paddle
import pytest

from hfpaddle.transformers.trainer_optimizer import clip_gradients

pytestmark = pytest.mark.unit


def parameters(random, *shapes):
    made = [paddle.create_parameter(shape, "float32") for shape in shapes]
    for parameter in made:
        parameter.grad = paddle.to_tensor(random.standard_normal(parameter.shape), "float32")
    return made


def joint(made):
    return np.sqrt(sum((p.grad.numpy().astype("float64") ** 2).sum() for p in made))


def test_norm_of_millions_keeps_its_digits():
    """Paddle's own norm is off by two thousandths here."""
    made = parameters(np.random.default_rng(0), [4096, 1024], [7])
    want = joint(made)
    np.testing.assert_allclose(float(clip_gradients(made, None)), want, rtol=1e-4)
    np.testing.assert_allclose(joint(made), want)


@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_gradients_are_scaled_to_the_limit(limit):
    made = parameters(np.random.default_rng(1), [5, 3], [2])
    before, grads = joint(made), [p.grad.numpy() for p in made]
    np.testing.assert_allclose(float(clip_gradients(made, limit)), before, rtol=1e-6)
    factor = min(1.0, limit / (before + 1e-6))
    for parameter, grad in zip(made, grads, strict=True):
        np.testing.assert_allclose(parameter.grad, grad * factor, rtol=1e-6)


def test_nothing_to_clip():
    assert float(clip_gradients([paddle.create_parameter([2], "float32")], 1.0)) == 0.0
