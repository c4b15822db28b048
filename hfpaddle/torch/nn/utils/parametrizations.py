"""Weight norm, spectral norm and orthogonal weights as parametrizations."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn.modules.module import Module
from hfpaddle.torch.nn.utils.parametrize import register_parametrization

Tensor = paddle.Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """``g * v / |v|``, the length taken over all axes but ``dim`` (over all for -1)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def _length(self, v: Tensor) -> Tensor:
        squares = paddle.square(v)
        if self.dim == -1:
            return paddle.sqrt(paddle.sum(squares))
        axes = [i for i in range(v.ndim) if i != self.dim]
        return paddle.sqrt(paddle.sum(squares, axis=axes, keepdim=True))

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return paddle.multiply(weight_v, paddle.divide(weight_g, self._length(weight_v)))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Length and direction of a weight."""
        return self._length(weight), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn the length (``original0``) and direction (``original1``) of a weight apart."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """A matrix over its largest singular value, which a power iteration follows in training."""

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, "
                f"{weight.ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = self._matrix(weight.detach())
            for buffer, size in zip(("_u", "_v"), matrix.shape, strict=True):
                start = paddle.empty([size], matrix.dtype).normal_(0, 1)
                self.register_buffer(buffer, F.normalize(start, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        order = [self.dim, *(d for d in range(weight.ndim) if d != self.dim)]
        return paddle.flatten(paddle.transpose(weight, order), 1)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        with paddle.no_grad():
            for _ in range(times):
                u = F.normalize(paddle.mv(matrix, self._v), dim=0, eps=self.eps)
                v = F.normalize(paddle.mv(paddle.t(matrix), u), dim=0, eps=self.eps)
                paddle.assign(u, self._u)
                paddle.assign(v, self._v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = paddle.assign(self._u), paddle.assign(self._v)
        return paddle.divide(weight, paddle.dot(u, paddle.mv(matrix, v)))

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> Module:  # fmt: skip
    """Divide a weight by its largest singular value."""
    weight: Any = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        turned = type(module).__name__ in (
            "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"
        )  # fmt: skip
        dim = 1 if turned else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


def orthogonal(module: Module, name: str = "weight", *_: Any, **__: Any) -> Module:
    """Refused: torch's maps to orthogonal matrices are not reproduced."""
    raise UnsupportedArgumentError(
        "torch.nn.utils.parametrizations.orthogonal has no implementation here. Use "
        "torch.nn.init.orthogonal_ for the first value."
    )
