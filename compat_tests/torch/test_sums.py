"""Reductions keep torch's digits over many items, and softmax the logits far below the largest."""

from __future__ import annotations

import numpy as np
import pytest
import torch as theirs

import hfpaddle.torch as ours

ours.install_methods()
RNG = np.random.default_rng(0)
FAR = np.array([[0.0, -100.0, 3.0, -64.5, -70.0], [100.0, 0.0, -100.0, 35.0, 36.5]], "float32")


def both(function, *arrays):
    """The function's value and gradients in the two libraries, as numpy arrays."""
    found = []
    for library in (theirs, ours):
        inputs = [library.tensor(array, requires_grad=True) for array in arrays]
        out = function(library, *inputs)
        seed = np.linspace(0.5, 1.5, out.numel(), dtype="float32").reshape(tuple(out.shape))
        out.backward(library.tensor(seed))
        found.append([out.detach().numpy(), *[x.grad.numpy() for x in inputs]])
    return found


SOFTMAXES = {
    "torch.softmax": lambda lib, x: lib.softmax(x, -1),
    "torch.softmax dim 0": lambda lib, x: lib.softmax(x, 0),
    "torch.log_softmax": lambda lib, x: lib.log_softmax(x, -1),
    "Tensor.softmax": lambda lib, x: x.softmax(-1),
    "Tensor.log_softmax": lambda lib, x: x.log_softmax(dim=0),
    "special": lambda lib, x: lib.special.log_softmax(x, -1),
    "logsumexp": lambda lib, x: lib.logsumexp(x, -1),
    "logsumexp both": lambda lib, x: x.logsumexp((0, 1), keepdim=True),
    "F.softmax": lambda lib, x: lib.nn.functional.softmax(x, -1),
    "F.softmin": lambda lib, x: lib.nn.functional.softmin(x, -1),
    "F.log_softmax": lambda lib, x: lib.nn.functional.log_softmax(x, -1),
    "nn.Softmax": lambda lib, x: lib.nn.Softmax(dim=1)(x),
    "nn.LogSoftmax": lambda lib, x: lib.nn.LogSoftmax(dim=1)(x),
    "F.cross_entropy": lambda lib, x: lib.nn.functional.cross_entropy(
        x, lib.tensor([1, 2]), reduction="none"
    ),
    "F.cross_entropy smooth": lambda lib, x: lib.nn.functional.cross_entropy(
        x, lib.tensor([1, 2]), label_smoothing=0.1
    ),
    "F.cross_entropy soft": lambda lib, x: lib.nn.functional.cross_entropy(
        x, lib.full((2, 5), 0.2), reduction="sum"
    ),
    "F.cross_entropy weight": lambda lib, x: lib.nn.functional.cross_entropy(
        x, lib.tensor([1, 2]), weight=lib.arange(1.0, 6.0)
    ),
    "F.nll_loss": lambda lib, x: lib.nn.functional.nll_loss(
        lib.nn.functional.log_softmax(x, 1), lib.tensor([1, 3])
    ),
    "F.kl_div": lambda lib, x: lib.nn.functional.kl_div(
        x.log_softmax(-1), lib.full((2, 5), 0.2), reduction="batchmean"
    ),
}


@pytest.mark.parametrize("name", SOFTMAXES)
def test_logits_far_apart(name):
    (want, want_grad), (got, grad) = both(SOFTMAXES[name], FAR)
    # Paddle's exp ends at 2.9e-39, below the smallest number of full precision.
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=float(np.finfo("float32").tiny))
    np.testing.assert_allclose(grad, want_grad, rtol=1e-5, atol=1e-7)


def test_softmax_of_infinities():
    rows = np.array([[-np.inf, 0.0, 1.0], [-np.inf, -np.inf, -np.inf]], "float32")
    for name in ("softmax", "log_softmax", "logsumexp"):
        want = getattr(theirs, name)(theirs.tensor(rows), -1).numpy()
        np.testing.assert_allclose(
            getattr(ours, name)(ours.tensor(rows), -1).numpy(), want, rtol=1e-6
        )


# 50257 is 29 * 1733, 65537 is prime, 65536 and 2**22 are powers of two.
SHAPES = [
    ((262_144,), 0), ((2**22,), 0), ((2**22,), None), ((4, 65_537), 1), ((65_537, 3), 0),
    ((3, 50_257), -1), ((65_536, 64), 0), ((2, 131_072, 2), 1), ((8, 64, 32, 32), (0, 2, 3)),
    ((8, 64, 32, 32), (2, 3)), ((16, 33, 100), (0, 2)), ((50, 40, 2), 1), ((7, 5), 0),
]  # fmt: skip
# Largest relative error against float64. A naive sum is 20 to 1000 times as far off.
REDUCTIONS = {
    "sum": (lambda lib, x, dim: lib.sum(x, dim), 1e-6),
    "mean": (lambda lib, x, dim: x.mean() if dim is None else x.mean(dim), 1e-6),
    "var": (lambda lib, x, dim: x.var() if dim is None else x.var(dim), 2e-6),
    "std": (lambda lib, x, dim: lib.std(x, dim, correction=0), 2e-6),
    "norm": (lambda lib, x, dim: lib.linalg.vector_norm(x, dim=dim), 1e-6),
}


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_many_items(name, shape, dim):
    function, bound = REDUCTIONS[name]
    values = RNG.random(shape).astype("float32")
    want = function(theirs, theirs.tensor(values.astype("float64")), dim).numpy()
    got = function(ours, ours.tensor(values), dim)
    assert got.dtype == ours.float32
    np.testing.assert_allclose(got.numpy(), want, rtol=bound)


@pytest.mark.parametrize(("shape", "dim"), [case for case in SHAPES if case[1] is not None])
def test_logsumexp_of_many_items(shape, dim):
    values = RNG.random(shape).astype("float32")
    want = theirs.logsumexp(theirs.tensor(values.astype("float64")), dim).numpy()
    got = ours.logsumexp(ours.tensor(values), dim)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize(("shape", "dim"), [((262_144,), 0), ((4, 65_537), 1), ((65_537, 3), 0)])
def test_running_sums(shape, dim):
    values = RNG.random(shape).astype("float32")
    want = np.cumsum(values.astype("float64"), dim)
    np.testing.assert_allclose(ours.tensor(values).cumsum(dim).numpy(), want, rtol=2e-7)
    factors = 1 + (values - 0.5) / 100
    want = np.cumprod(factors.astype("float64"), dim)
    np.testing.assert_allclose(ours.tensor(factors).cumprod(dim).numpy(), want, rtol=2e-7)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize(
    ("shape", "dim"), [((5, 70), 1), ((70, 5), 0), ((2, 70, 40), 1), ((2, 70, 40), (0, 2)),
                       ((2, 4099), 1), ((3, 33, 34), (-2, -1)), ((2, 12_289), 1)]
)  # fmt: skip
def test_gradients(shape, dim, keepdim):
    values = RNG.normal(size=shape).astype("float32")
    for function in (
        lambda lib, x: x.sum(dim, keepdim=keepdim),
        lambda lib, x: x.mean(dim, keepdim),
        lambda lib, x: x.std(dim, keepdim=keepdim),
        lambda lib, x: x.norm(dim=dim, keepdim=keepdim),
        lambda lib, x: x.logsumexp(dim, keepdim),
    ):
        want, got = both(function, values)
        for a, b in zip(got, want, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_length_of_nothing_has_no_gradient():
    (_, want), (_, got) = both(lambda lib, x: x.norm(dim=1), np.zeros((2, 3), "float32"))
    np.testing.assert_array_equal(got, want)


def test_second_derivatives():
    values = RNG.normal(size=(3, 40)).astype("float32")
    found = []
    for library in (theirs, ours):
        x = library.tensor(values, requires_grad=True)
        loss = (x.softmax(-1) * x).sum(-1).square().sum()
        (first,) = library.autograd.grad(loss, x, create_graph=True)
        first.square().sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-5)
