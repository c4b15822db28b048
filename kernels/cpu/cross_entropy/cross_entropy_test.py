"""Cross entropy of the C++ library; what every implementation must do is tested with the op."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.cross_entropy", reason="the kernels were not built")
from hfpaddle.kernels.cpu.testing import agree, leaf  # noqa: E402

pytestmark = pytest.mark.unit


def labels_of(rows: int, size: int) -> paddle.Tensor:
    labels = np.random.default_rng(0).integers(0, size, rows)
    labels[:: 3 if rows > 3 else 9] = -100
    labels[0] = size - 1
    return paddle.to_tensor(labels)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 30.0, 1e30])
@pytest.mark.parametrize("shape", [(1, 1), (4, 33), (9, 4097), (200, 300)])
def test_loss(shape, scale):
    labels = labels_of(*shape)
    call = [lambda x: ops.cross_entropy(x, labels), lambda x: ops.cross_entropy(x, labels, -100, 7)]
    for way in call:
        agree(ops.cross_entropy, [leaf(*shape, scale=scale)], way, second=False)


@pytest.mark.parametrize("shape", [(4, 33), (9, 4097)])
def test_second_derivative(shape):
    """The reference has none: against the definition."""
    labels = labels_of(*shape)
    keep = (labels >= 0).astype("float32")

    def definition(x):
        chosen = paddle.nn.functional.one_hot(labels.clip(min=0), shape[1])
        losses = paddle.log(paddle.exp(x).sum(axis=-1)) - (x * chosen).sum(axis=-1)
        return (losses * keep).sum() / keep.sum()

    agree(ops.cross_entropy, [leaf(*shape)], lambda x: ops.cross_entropy(x, labels),
          definition=definition, rtol=1e-4)  # fmt: skip


def test_many_words_keep_seven_digits():
    x = leaf(2, 262144)
    labels = paddle.to_tensor([5, 262143])
    with hfpaddle.kernels.use(cross_entropy="cpu"):
        loss = ops.cross_entropy(x, labels)
    wide = x.numpy().astype("float64")
    expected = np.log(np.exp(wide).sum(1)) - wide[[0, 1], [5, 262143]]
    np.testing.assert_allclose(float(loss), expected.mean(), rtol=3e-7)


def test_views_and_infinite_logits():
    labels = paddle.to_tensor([1, 0, -100])
    agree(ops.cross_entropy, [leaf(8, 3)], lambda x: ops.cross_entropy(x.t(), labels),
          second=False)  # fmt: skip
    x = paddle.to_tensor([[-np.inf, 1.0, 2.0], [1.0, -np.inf, 3.0], [-np.inf] * 3])
    x.stop_gradient = False
    loss = ops.cross_entropy(x, labels)
    gradient = paddle.grad(loss, x)[0].numpy()
    assert np.isfinite(float(loss)) and np.isfinite(gradient).all() and not gradient[2].any()


def test_labels_beyond_the_words_go_to_the_reference():
    x = leaf(2, 5)
    for wrong in ([0, 5], [0, -1]):
        assert ops.cross_entropy.choose(x, paddle.to_tensor(wrong)) is not cpu.cross_entropy_cpu
    assert ops.cross_entropy.choose(x, paddle.to_tensor([0, 4])) is cpu.cross_entropy_cpu
