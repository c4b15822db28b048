"""Sparse experts against the sum written out; the balancing loss at its known values."""

from functools import partial

import numpy as np
import paddle
import pytest

from hfpaddle import ops
from hfpaddle.layers.mlp import GatedMLP
from hfpaddle.layers.moe import (
    SparseMoe,
    TopKRouter,
    load_balancing_loss,
    recorded_router_logits,
)

pytestmark = pytest.mark.unit
H, E, K = 8, 5, 2


def block(**kwargs) -> SparseMoe:
    return SparseMoe(TopKRouter(H, E, K), E, partial(GatedMLP, H, 12), **kwargs).eval()


def random(*shape) -> paddle.Tensor:
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))
    x.stop_gradient = False
    return x


def dense(moe: SparseMoe, x_TH: paddle.Tensor, weights_Tk, index_Tk) -> paddle.Tensor:
    """Every expert on every token, weighted by zero where it was not chosen."""
    total = paddle.zeros_like(x_TH)
    for e, expert in enumerate(moe.experts):
        share_T = (weights_Tk * (index_Tk == e).astype("float32")).sum(axis=-1, keepdim=True)
        total = total + share_T * expert(x_TH)
    return total


@pytest.mark.parametrize("tokens", [1, 7])
def test_only_chosen_experts_add_up(tokens):
    """One token leaves experts without work; forward and gradients are those of the full sum."""
    moe, x = block(), random(tokens, H)
    _, weights, index = moe.gate(x)
    inputs = [x, moe.gate.weight, moe.experts[int(index[0, 0])].up_proj.weight]
    want = dense(moe, x, weights, index)
    got = ops.experts(x, weights, index, moe.experts)
    np.testing.assert_allclose(got.numpy(), want.numpy(), atol=1e-6)
    # Weighted, because the chosen weights add up to one and so does the gradient of a plain sum.
    scale = random(tokens, H).detach()
    expected = paddle.grad((want * scale).sum(), inputs, retain_graph=True)
    for a, b in zip(paddle.grad((got * scale).sum(), inputs), expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_router_takes_the_most_probable(normalize):
    router = TopKRouter(H, E, K, normalize)
    logits, weights, index = (t.detach().numpy() for t in router(random(7, H)))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    order = np.argsort(-probabilities, axis=-1)[:, :K]
    chosen = np.take_along_axis(probabilities, order, axis=-1)
    chosen = chosen / chosen.sum(-1, keepdims=True) if normalize else chosen
    assert (index == order).all() and index.dtype == np.int64
    np.testing.assert_allclose(weights, chosen, atol=1e-6)


def test_logits_are_recorded_only_where_asked():
    moe, x = block(), random(2, 3, H)
    with recorded_router_logits() as outer:
        moe(x)
        with recorded_router_logits(False) as inner:
            moe(x)
        moe(x)
    moe(x)
    assert [t.shape for t in outer] == [[6, E]] * 2 and inner == []


def test_balancing_loss():
    """``top_k`` when all experts get the same share, E times more with one for all; no padding."""
    even = paddle.to_tensor(np.eye(E, dtype="float32") * 1e-3)
    assert float(load_balancing_loss((even,), E, 1)) == pytest.approx(1.0, abs=1e-5)
    one = paddle.to_tensor(np.tile(np.eye(E, dtype="float32")[:1] * 50, [E, 1]))
    assert float(load_balancing_loss((one,), E, 1)) == pytest.approx(E, abs=1e-5)
    joined = paddle.concat([one, even])
    hidden = paddle.to_tensor([[0] * E + [1] * E])
    assert float(load_balancing_loss((joined,), E, 1, hidden)) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match="2-D"):
        load_balancing_loss((joined,), E, 1, hidden.unsqueeze(1))
    with pytest.raises(ValueError, match="no layer"):
        load_balancing_loss((), E, 1)
