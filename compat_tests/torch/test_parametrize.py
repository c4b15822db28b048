"""Parametrizations: values, gradients, names and removal are torch's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch as theirs
import torch.nn.utils.parametrizations
import torch.nn.utils.parametrize

import hfpaddle.torch as ours
import hfpaddle.torch.nn.utils.parametrizations
import hfpaddle.torch.nn.utils.parametrize  # noqa: F401 - scripts import it so

ours.install_methods()
SIDES = (theirs, ours)
X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


def norms(library):
    return library.nn.utils.parametrizations


MAKERS = {
    "weight_norm": lambda lib: norms(lib).weight_norm(lib.nn.Linear(3, 2)),
    "weight_norm dim 1": lambda lib: norms(lib).weight_norm(lib.nn.Linear(3, 2), dim=1),
    "weight_norm all": lambda lib: norms(lib).weight_norm(lib.nn.Linear(3, 2), dim=None),
    "spectral_norm": lambda lib: norms(lib).spectral_norm(lib.nn.Linear(3, 2)),
    "spectral_norm of a bias": lambda lib: norms(lib).spectral_norm(lib.nn.Linear(3, 2), "bias"),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_training(maker):
    """Three steps of training, then evaluation: outputs, parameters, buffers, names."""
    results = []
    for library in SIDES:
        library.manual_seed(0)
        linear = maker(library)
        optimizer = library.optim.SGD(linear.parameters(), lr=0.1)
        found = []
        for _ in range(3):
            optimizer.zero_grad()
            out = linear(library.tensor(X))
            (out * out).sum().backward()
            optimizer.step()
            found.append(out.detach().numpy())
        linear.eval()
        found.append(linear(library.tensor(X)).detach().numpy())
        state = linear.state_dict()
        results.append((list(state), [*found, *(v.numpy() for v in state.values())], repr(linear)))
    assert results[0][0] == results[1][0]
    assert results[0][2] == results[1][2]
    for got, want in zip(results[1][1], results[0][1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_conv_transpose():
    results = []
    for library in SIDES:
        library.manual_seed(0)
        conv = norms(library).spectral_norm(library.nn.ConvTranspose1d(2, 3, 2))
        results.append(conv(library.ones(1, 2, 4)).detach().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-6)


def symmetric(library):
    class Symmetric(library.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x):
            return x.triu()

    class Twice(library.nn.Module):
        def forward(self, x):
            return x * 2

        def right_inverse(self, x):
            return x / 2

    library.manual_seed(0)
    parametrize = library.nn.utils.parametrize
    linear = library.nn.Linear(3, 3)
    parametrize.register_parametrization(linear, "weight", Symmetric())
    parametrize.register_parametrization(linear, "weight", Twice())
    return parametrize, linear


def test_own_parametrizations():
    results = []
    for library in SIDES:
        parametrize, linear = symmetric(library)
        found = [linear.weight, linear.parametrizations.weight.original]
        linear.weight = library.ones(3, 3)
        found += [linear.weight, linear.parametrizations.weight.original]
        twin = copy.deepcopy(linear)
        with library.no_grad():
            twin.parametrizations.weight.original.zero_()
        found += [linear.weight, twin.weight]
        with parametrize.cached():
            assert linear.weight is linear.weight
        assert linear.weight is not linear.weight
        assert parametrize.is_parametrized(linear, "weight")
        assert not parametrize.is_parametrized(linear, "bias")
        assert parametrize.type_before_parametrizations(linear) is library.nn.Linear
        parametrize.remove_parametrizations(linear, "weight")
        _, other = symmetric(library)
        parametrize.remove_parametrizations(other, "weight", leave_parametrized=False)
        assert type(linear) is library.nn.Linear and not parametrize.is_parametrized(linear)
        found += [linear.weight, other.weight]
        names = [name for name, _ in linear.named_parameters()]
        results.append((names, [value.detach().numpy() for value in found]))
    assert sorted(results[0][0]) == sorted(results[1][0])
    for got, want in zip(results[1][1], results[0][1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_refusals():
    for library in SIDES:
        parametrize = library.nn.utils.parametrize
        with pytest.raises(ValueError):
            parametrize.register_parametrization(
                library.nn.Linear(2, 2), "nothing", library.nn.Identity()
            )
        with pytest.raises(ValueError):
            parametrize.register_parametrization(
                library.nn.Linear(3, 2), "weight", library.nn.Flatten(0)
            )
        with pytest.raises(ValueError):
            parametrize.remove_parametrizations(library.nn.Linear(3, 2), "weight")


def test_orthogonal_is_refused():
    with pytest.raises(ValueError, match="orthogonal has no implementation"):
        norms(ours).orthogonal(ours.nn.Linear(2, 2))
