"""``torch.distributions``: the few that scripts sample from, on torch's random streams."""

from __future__ import annotations

import math
from typing import Any

import paddle

from hfpaddle.torch import _random
from hfpaddle.torch._create import Size

Tensor = paddle.Tensor


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else paddle.to_tensor(float(value))


class Distribution:
    """``sample`` draws without gradients, ``log_prob`` scores."""

    batch_shape: Size

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """A draw through which gradients flow."""
        raise NotImplementedError

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A draw."""
        with paddle.no_grad():
            return self.rsample(sample_shape)

    def _shape(self, sample_shape: Any) -> list[int]:
        return [*sample_shape, *self.batch_shape]


class Categorical(Distribution):
    """Indices with weights ``probs`` or exp(``logits``) ``[..., C]``."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is None:
            self.logits = logits - paddle.logsumexp(logits, -1, keepdim=True)
            self.probs = paddle.exp(self.logits)
        else:
            self.probs = probs / probs.sum(-1, keepdim=True)
            self.logits = paddle.log(self.probs)
        self.batch_shape = Size(self.probs.shape[:-1])

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Indices of shape ``sample_shape + batch_shape``, int64."""
        count = math.prod(sample_shape)
        rows = self.probs.detach().reshape([-1, self.probs.shape[-1]])
        found = _random.multinomial(rows, count, True)
        return found.transpose([1, 0]).reshape(self._shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability of the indices."""
        picked = paddle.take_along_axis(self.logits, value.unsqueeze(-1), -1)
        return picked.squeeze(-1)

    def entropy(self) -> Tensor:
        """In nats."""
        return -(self.probs * self.logits).sum(-1)


class Normal(Distribution):
    """Normal samples of mean ``loc`` and deviation ``scale``."""

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = paddle.broadcast_tensors([_tensor(loc), _tensor(scale)])
        self.mean, self.stddev, self.batch_shape = self.loc, self.scale, Size(self.loc.shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """``loc + scale * noise``."""
        noise = _random.randn(self._shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + noise * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        spread = (value - self.loc) ** 2 / (2 * self.scale**2)
        return -spread - paddle.log(self.scale) - math.log(math.sqrt(2 * math.pi))

    def entropy(self) -> Tensor:
        """In nats."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + paddle.log(self.scale)


class Uniform(Distribution):
    """Uniform samples in [low, high)."""

    def __init__(self, low: Any, high: Any, validate_args: Any = None):
        self.low, self.high = paddle.broadcast_tensors([_tensor(low), _tensor(high)])
        self.batch_shape = Size(self.low.shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """``low + (high - low) * noise``."""
        noise = _random.rand(self._shape(sample_shape), dtype=self.low.dtype)
        return self.low + noise * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        inside = paddle.logical_and(self.low <= value, value < self.high)
        return paddle.log(inside.astype(self.low.dtype)) - paddle.log(self.high - self.low)


class Bernoulli(Distribution):
    """0 or 1."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.probs = _tensor(probs) if logits is None else paddle.nn.functional.sigmoid(logits)
        self.batch_shape = Size(self.probs.shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """0. and 1."""
        return _random.bernoulli(paddle.expand(self.probs.detach(), self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability."""
        return value * paddle.log(self.probs) + (1 - value) * paddle.log(1 - self.probs)
