"""`paddle.grad` towards some of a kernel's inputs, at any distance from it."""

from __future__ import annotations

import itertools

import numpy as np
import paddle
import pytest

from hfpaddle import kernels, ops
from hfpaddle.core.op import discover
from hfpaddle.layers.activations import ACTIVATIONS

discover("cpu")
pytest.importorskip("hfpaddle.kernels.cpu.gated", reason="the kernels were not built")
from hfpaddle.kernels.cpu.testing import leaf  # noqa: E402

pytestmark = pytest.mark.unit

REFERENCE = dict.fromkeys(("rms_norm", "layer_norm", "gated"), "reference")


def chain(x, w, b, u):
    h = ops.rms_norm(x * 2, w)
    h = ops.layer_norm(ops.rms_norm(h, w * 3), w, b)
    return ops.gated(h * u, h + u, ACTIVATIONS["silu"]).square().sum()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("asked", [c for n in (1, 2) for c in itertools.combinations(range(4), n)])
def test_gradients_of_a_few_inputs(asked, create_graph):
    found = []
    for ways in ({}, REFERENCE):
        inputs = [leaf(3, 40), leaf(40), leaf(40, seed=1), leaf(3, 40, seed=2)]
        if ways and create_graph:
            continue  # the reference of layer_norm has no second derivative
        with kernels.use(**ways):
            some = [inputs[i] for i in asked]
            found.append(paddle.grad(chain(*inputs), some, create_graph=create_graph))
    whole = [leaf(3, 40), leaf(40), leaf(40, seed=1), leaf(3, 40, seed=2)]
    chain(*whole).backward()
    found.append([whole[i].grad for i in asked])
    for other in found[1:]:
        for got, wanted in zip(found[0], other, strict=True):
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-3, atol=1e-3)


def test_gradient_towards_a_result_on_the_way():
    x, w = leaf(3, 40), leaf(40)
    middle = ops.rms_norm(x, w)
    out = ops.rms_norm(middle * 2, w).square().sum()
    (gradient,) = paddle.grad(out, middle)
    assert gradient.shape == [3, 40]


@pytest.mark.parametrize("asked", range(3))
def test_attention_towards_one_input(asked):
    def out(q, k, v):
        return ops.attention(q * 1, k * 1, v * 1, scale=0.25, need_weights=False)[0].square().sum()

    leaves = [[leaf(1, n, 8, 16, seed=n) for n in (4, 2, 2)] for _ in range(2)]
    (got,) = paddle.grad(out(*leaves[0]), leaves[0][asked])
    out(*leaves[1]).backward()
    np.testing.assert_allclose(got.numpy(), leaves[1][asked].grad.numpy(), rtol=1e-5, atol=1e-6)
