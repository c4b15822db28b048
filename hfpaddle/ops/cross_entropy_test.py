"""Cross entropy against its definition in float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from hfpaddle import kernels, ops

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


each_way = pytest.mark.parametrize(
    "way", ["reference", *(impl.name for impl in ops.cross_entropy.impls)]
)


@each_way
@pytest.mark.parametrize("rows", [7, 40])
@pytest.mark.parametrize("spread", [1.0, 40.0, 300.0])
@pytest.mark.parametrize("ignore", [-100, 0])
def test_mean_and_gradient(spread, ignore, rows, way):
    """Of few rows that do not count, which stay, and of many, which are left out."""
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal((rows, 33)) * spread).astype("float32")
    labels = rng.integers(1, 33, rows)
    labels[2] = ignore
    x = paddle.to_tensor(logits, stop_gradient=False)
    with kernels.use(cross_entropy=way):
        loss = ops.cross_entropy(x, paddle.to_tensor(labels), ignore)
    loss.backward()
    value, gradient = expected(logits, labels, ignore)
    np.testing.assert_allclose(float(loss), value, rtol=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), gradient, atol=1e-6)


@each_way
def test_losses_beyond_64_are_not_cut(way):
    logits = paddle.to_tensor([[0.0, 500.0]])
    with kernels.use(cross_entropy=way):
        assert float(ops.cross_entropy(logits, paddle.to_tensor([0]))) == 500.0


@each_way
def test_nothing_counts_gives_nan_and_a_given_count_divides(way):
    logits, labels = paddle.ones([2, 3]), paddle.to_tensor([-100, -100])
    one = paddle.to_tensor([-100, 1])
    with kernels.use(cross_entropy=way):
        assert np.isnan(float(ops.cross_entropy(logits, labels)))
        assert float(ops.cross_entropy(logits, labels, num_items=5)) == 0.0
        half = float(ops.cross_entropy(logits, one, num_items=2))
    np.testing.assert_allclose(half, np.log(3) / 2)


@each_way
def test_an_infinite_loss_that_does_not_count(way):
    logits = paddle.to_tensor([[0.0, -np.inf], [1.0, 2.0]] * 8, stop_gradient=False)
    labels = paddle.to_tensor([1, 0] * 8)
    with kernels.use(cross_entropy=way):
        loss = ops.cross_entropy(logits[:2], labels[:2], ignore_index=1)
    np.testing.assert_allclose(float(loss), np.log(1 + np.e), rtol=1e-6)


def test_second_derivative():
    """Of the squared gradient, against differences of it."""
    labels = paddle.to_tensor([1, 2, -100, 4, 5])
    x = np.random.default_rng(2).standard_normal((5, 7)).astype("float32")

    def gradient(values, keep):
        leaf = paddle.to_tensor(values, stop_gradient=False)
        return leaf, paddle.grad(ops.cross_entropy(leaf, labels), leaf, create_graph=keep)[0]

    leaf, first = gradient(x, True)
    second = paddle.grad((first**2).sum(), leaf)[0].numpy()
    step = np.random.default_rng(3).standard_normal(x.shape).astype("float32") * 1e-2
    ends = [float((gradient(x + s, False)[1].astype("float64") ** 2).sum()) for s in (step, -step)]
    np.testing.assert_allclose((second * step).sum(), (ends[0] - ends[1]) / 2, rtol=1e-3)


@each_way
def test_large_vocabulary_keeps_its_digits(way):
    logits = np.random.default_rng(1).standard_normal((4, 262144)).astype("float32")
    labels = np.array([5, 77, 1000, 262143])
    with kernels.use(cross_entropy=way):
        loss = ops.cross_entropy(paddle.to_tensor(logits), paddle.to_tensor(labels))
    np.testing.assert_allclose(float(loss), expected(logits, labels, -100)[0], rtol=1e-5)
