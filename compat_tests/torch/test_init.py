"""``hfpaddle.torch.nn.init`` fills tensors as torch's does for the same seed."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

from hfpaddle.torch import _random
from hfpaddle.torch.nn import init

CASES = [
    ("uniform_", {"a": -0.3, "b": 0.7}),
    ("normal_", {"mean": 0.1, "std": 0.02}),
    ("trunc_normal_", {"std": 0.02}),
    ("trunc_normal_", {"mean": 0.5, "std": 1.0, "a": -0.5, "b": 1.0}),
    ("trunc_normal_", {"mean": 0.0, "std": 1.0, "a": 1.5, "b": 2.0}),
    ("constant_", {"val": 3}),
    ("ones_", {}),
    ("zeros_", {}),
    ("xavier_uniform_", {"gain": 1.5}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {"a": 5**0.5}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("orthogonal_", {"gain": 2.0}),
    ("eye_", {}),
    ("sparse_", {"sparsity": 0.3}),
]


@pytest.mark.parametrize("shape", [(7, 5), (16, 40)])
@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_fills_as_torch(name, kwargs, shape):
    torch.manual_seed(3)
    _random.manual_seed(3)
    want = getattr(torch.nn.init, name)(torch.empty(shape), **kwargs)
    tensor = paddle.zeros(shape)
    got = getattr(init, name)(tensor, **kwargs)
    assert got is tensor
    tolerance = 1e-5 if name == "orthogonal_" else 3e-7
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=tolerance, atol=tolerance)
    # Both streams stand at the same place afterwards.
    assert torch.rand(1).item() == _random.stream().uniform((1,)).item()


@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 4, 3, 5), (2, 3, 3, 3, 3)])
def test_dirac_and_fans(shape):
    want = torch.nn.init.dirac_(torch.empty(shape), groups=2)
    got = init.dirac_(paddle.ones(shape), groups=2)
    np.testing.assert_array_equal(got.numpy(), want.numpy())
    fans = init._calculate_fan_in_and_fan_out(got)
    assert fans == torch.nn.init._calculate_fan_in_and_fan_out(want)


def test_generator_is_used():
    ours, theirs = _random.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    want = torch.nn.init.normal_(torch.empty(3, 3), generator=theirs)
    np.testing.assert_array_equal(
        init.normal_(paddle.empty([3, 3]), generator=ours).numpy(), want.numpy()
    )


@pytest.mark.parametrize("name", ["tanh", "relu", "leaky_relu", "selu", "linear", "conv2d"])
def test_gain(name):
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


def test_wrong_arguments_raise_as_torch():
    for library, make in ((torch.nn.init, torch.zeros), (init, paddle.zeros)):
        with pytest.raises(ValueError, match="fewer than 2 dimensions"):
            library.kaiming_uniform_(make([3]))
        with pytest.raises(ValueError, match="Unsupported nonlinearity"):
            library.calculate_gain("quite")
        with pytest.raises(ValueError, match="not supported"):
            library.kaiming_uniform_(make([3, 3]), mode="fan")
