"""Cutting scores short and drawing, against the references: equal to the last bit."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.errors import DistributionError
from hfpaddle.core.op import discover
from hfpaddle.core.rng import default_generator

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.sampling", reason="the kernels were not built")

pytestmark = pytest.mark.unit

SHAPES = [(1, 1), (2, 7), (3, 16), (2, 33), (3, 1000), (2, 20011)]
INF = float("inf")


def scores(shape: tuple[int, int], kind: str) -> paddle.Tensor:
    rng = np.random.default_rng(shape)
    x = (rng.standard_normal(shape) * 3).astype("float32")
    if kind == "ties":
        x = np.round(x)
    if kind == "equal":
        x[:] = 1.5
    if kind == "wide":
        x *= 200
    if kind == "cut":  # a processor before has removed most
        x[rng.random(shape) < 0.9] = -INF
        x[:, -1] = 0.25
    return paddle.to_tensor(x)


KINDS = ["plain", "ties", "equal", "wide", "cut"]


def both(op, *args) -> list[np.ndarray]:
    found = []
    for impl in ("cpu", "reference"):
        with hfpaddle.kernels.use(**{op.name: impl}):
            found.append(op(*args).numpy())
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 5, 50, 10**6])
def test_top_k(shape, kind, k):
    got, expected = both(ops.keep_top_k, scores(shape, kind), min(k, shape[1]), -INF)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [0.0, 0.3, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("least", [1, 3])
def test_top_p(shape, kind, p, least):
    got, expected = both(ops.keep_top_p, scores(shape, kind), p, -5.0, least)
    differ = (got != expected).any(-1)
    if not differ.any():
        return
    if p == 1.0:  # only nothing is removed: Paddle's softmax has no zeros, ours and torch's do
        x = scores(shape, kind).numpy()
        assert ((x - x.max(-1, keepdims=True))[got != expected] < -87).all()
        return
    # Where shares add up to the limit itself, the last bit of a sum decides.
    assert kind in ("equal", "plain", "ties") and p > 0
    assert (np.count_nonzero(got != expected, axis=-1) <= 1).all()
    for row in np.flatnonzero(differ):
        x = scores(shape, kind).numpy()[row].astype("float64")
        share = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        at = np.flatnonzero(got[row] != expected[row])[0]
        below = share[(x < x[at]) | ((x == x[at]) & (np.arange(len(x)) <= at))].sum()
        assert abs(below - (1 - p)) < 3e-7


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_draws_and_where_they_leave_the_stream(shape, kind):
    x, found = scores(shape, kind), {}
    for impl in ("reference", "cpu"):
        default_generator.manual_seed(7)
        with hfpaddle.kernels.use(draw=impl):
            drawn = [ops.draw(x).numpy() for _ in range(20)]
        found[impl] = [*drawn, default_generator.get_state()]
    for got, expected in zip(found["cpu"], found["reference"], strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("bad", [float("nan"), INF])
def test_what_cannot_be_drawn(bad):
    x = scores((2, 40), "plain")
    x[1, 17] = bad
    state = default_generator.get_state()
    with pytest.raises(DistributionError):
        ops.draw(x)
    np.testing.assert_array_equal(default_generator.get_state(), state)
    for op, limit in ((ops.keep_top_k, 5), (ops.keep_top_p, 0.5)):
        got, expected = both(op, x, limit, -INF)
        np.testing.assert_array_equal(got, expected)


def test_what_it_leaves_to_the_reference():
    x = scores((2, 40), "plain")
    assert ops.keep_top_k.choose(x, 5, 0.0) is cpu.keep_top_k_cpu
    assert ops.draw.choose(x, 2) is ops.draw.reference  # several words a row
    x.stop_gradient = False
    assert ops.keep_top_p.choose(x, 0.5, 0.0) is ops.keep_top_p.reference
    with paddle.no_grad():
        assert ops.keep_top_p.choose(x, 0.5, 0.0) is cpu.keep_top_p_cpu
