"""Cross entropy against its definition in float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from hfpaddle import ops

pytestmark = pytest.mark.unit


def expected(logits, labels, ignore):
    """Mean and gradient by definition."""
    x = logits.astype("float64")
    keep = labels != ignore
    x = x - x.max(axis=-1, keepdims=True)
    p = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    rows, picked = np.arange(len(labels)), np.where(keep, labels, 0)
    losses = np.log(np.exp(x).sum(axis=-1)) - x[rows, picked]
    gradient = p.copy()
    gradient[rows, picked] -= 1
    return losses[keep].mean(), gradient * keep[:, None] / keep.sum()


@pytest.mark.parametrize("spread", [1.0, 40.0, 300.0])
@pytest.mark.parametrize("ignore", [-100, 0])
def test_mean_and_gradient(spread, ignore):
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal((7, 33)) * spread).astype("float32")
    labels = rng.integers(1, 33, 7)
    labels[2] = ignore
    x = paddle.to_tensor(logits, stop_gradient=False)
    loss = ops.cross_entropy(x, paddle.to_tensor(labels), ignore)
    loss.backward()
    value, gradient = expected(logits, labels, ignore)
    np.testing.assert_allclose(float(loss), value, rtol=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), gradient, atol=1e-6)


def test_losses_beyond_64_are_not_cut():
    logits = paddle.to_tensor([[0.0, 500.0]])
    assert float(ops.cross_entropy(logits, paddle.to_tensor([0]))) == 500.0


def test_nothing_counts_gives_nan_and_a_given_count_divides():
    logits, labels = paddle.ones([2, 3]), paddle.to_tensor([-100, -100])
    assert np.isnan(float(ops.cross_entropy(logits, labels)))
    assert float(ops.cross_entropy(logits, labels, num_items=5)) == 0.0
    one = paddle.to_tensor([-100, 1])
    np.testing.assert_allclose(float(ops.cross_entropy(logits, one, num_items=2)), np.log(3) / 2)


def test_large_vocabulary_keeps_its_digits():
    logits = np.random.default_rng(1).standard_normal((4, 262144)).astype("float32")
    labels = np.array([5, 77, 1000, 262143])
    loss = ops.cross_entropy(paddle.to_tensor(logits), paddle.to_tensor(labels))
    np.testing.assert_allclose(float(loss), expected(logits, labels, -100)[0], rtol=1e-5)
