"""Less used functions and methods, most of them Paddle's own under torch's name and arguments."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.torch import linalg
from hfpaddle.torch._create import tensor
from hfpaddle.torch._dtypes import UNSIGNED, get_default_dtype
from hfpaddle.torch._half import lifted
from hfpaddle.torch._linalg import matmul
from hfpaddle.torch._promote import FUNCTIONS, inplace
from hfpaddle.torch._reduce import cumprod, cumsum, median, sum
from hfpaddle.torch._shape import reshape, split, transpose
from hfpaddle.torch._switch import added, by_caller

Tensor = paddle.Tensor


class memory_format(enum.Enum):
    """How dimensions lie in memory. Paddle's tensors are always in row order."""

    contiguous_format = "torch.contiguous_format"
    preserve_format = "torch.preserve_format"
    channels_last = "torch.channels_last"
    channels_last_3d = "torch.channels_last_3d"


class layout(enum.Enum):
    """Dense or sparse."""

    strided = "torch.strided"
    sparse_coo = "torch.sparse_coo"
    sparse_csr = "torch.sparse_csr"


contiguous_format, preserve_format = memory_format.contiguous_format, memory_format.preserve_format
channels_last, channels_last_3d = memory_format.channels_last, memory_format.channels_last_3d
strided, sparse_coo = layout.strided, layout.sparse_coo


# Same arguments in the same order on both sides.
_SAME = (
    "cholesky corrcoef cov diag_embed diagflat dist frexp heaviside hsplit dsplit vsplit inverse "
    "ldexp logcumsumexp matrix_power nextafter polygamma renorm signbit trapezoid vander pdist"
).split()


def _same(name: str) -> Callable:
    found = getattr(paddle, name, None) or getattr(paddle.linalg, name)
    function = lifted(found)

    def call(input: Tensor, *args, **kwargs) -> Any:
        if "dim" in kwargs:
            kwargs["axis"] = kwargs.pop("dim")
        result = function(input, *args, **kwargs)
        return tuple(result) if isinstance(result, list) else result

    call.__name__ = name
    return call


_FOUND: dict[str, Callable] = {name: _same(name) for name in _SAME}


def inner(input, other) -> Tensor:
    """Products along the last dimension of both."""
    if not input.ndim or not other.ndim:
        return FUNCTIONS["mul"](input, other)
    return lifted(paddle.inner)(input, other)


def vdot(input, other) -> Tensor:
    """Inner product of vectors, the first one conjugated."""
    return FUNCTIONS["mul"](FUNCTIONS["conj"](input), other).sum()


def erfc(input) -> Tensor:
    """``1 - erf(input)``."""
    return FUNCTIONS["rsub"](FUNCTIONS["erf"](input), 1)


def exp2(input) -> Tensor:
    """``2 ** input``."""
    return FUNCTIONS["pow"](2.0, input)


def logdet(input) -> Tensor:
    """Logarithm of the determinant, NaN where it is negative."""
    return FUNCTIONS["log"](linalg.det(input))


def nanmedian(input, dim=None, keepdim=False) -> Tensor:
    """The lower median of the items that are not NaN."""
    if dim is not None:
        raise MissingFeatureError("nanmedian(dim=...): loop over the rows with nanmedian().")
    return median(input[paddle.logical_not(paddle.isnan(input))])


def is_signed(input) -> bool:
    """Whether negative items are possible."""
    return input.dtype not in UNSIGNED


def is_same_size(input, other) -> bool:
    """Whether the shapes are the same."""
    return list(input.shape) == list(other.shape)


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """In the shape of ``other``."""
    return reshape(self, *other.shape)


def sum_to_size(self: Tensor, *size) -> Tensor:
    """Summed over the dimensions that broadcasting would have added."""
    target = list(size[0]) if len(size) == 1 and not isinstance(size[0], int) else list(size)
    extra = self.ndim - len(target)
    pairs = zip(self.shape[extra:], target, strict=True)
    dims = [*range(extra), *(i + extra for i, (a, b) in enumerate(pairs) if b == 1 != a)]
    return reshape(sum(self, dims, keepdim=True), target) if dims else self


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two dimensions of this tensor."""
    order = list(range(self.ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return self.transpose_(order)


def adjoint(input) -> Tensor:
    """The last two dimensions swapped, conjugated."""
    return FUNCTIONS["conj"](transpose(input, -2, -1))


def chain_matmul(*matrices) -> Tensor:
    """Product of several matrices."""
    result = matrices[0]
    for matrix in matrices[1:]:
        result = matmul(result, matrix)
    return result


def scalar_tensor(s, *, dtype=None, device=None, **_) -> Tensor:
    """A tensor without dimensions, of the default dtype."""
    return tensor(s, dtype=dtype or get_default_dtype(), device=device)


def unravel_index(indices, shape) -> tuple:
    """Coordinates of flat indices."""
    found = np.unravel_index(np.asarray(indices), tuple(shape))
    return tuple(tensor(np.asarray(part)) for part in found)


def detach(input) -> Tensor:
    """Without gradient, on the same memory."""
    return input.detach()


def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False) -> Tensor:
    """Rows of ``weight``."""
    return lifted(paddle.nn.functional.embedding)(indices, weight)


def bartlett_window(window_length, periodic=True, *, dtype=None, **_) -> Tensor:
    """Triangular window."""
    steps = max(window_length - (not periodic), 1)
    window = 1 - np.abs(2 * np.arange(window_length) / steps - 1)
    return tensor(window, dtype=dtype or get_default_dtype())


def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None, **_) -> Tensor:
    """Kaiser window."""
    window = np.kaiser(window_length + periodic, beta)[:window_length]
    return tensor(window, dtype=dtype or get_default_dtype())


def _not_reproduced(name: str) -> Callable:
    def call(self: Tensor, *_: Any, **__: Any) -> Tensor:
        raise MissingFeatureError(
            f"Tensor.{name}: torch's random stream for it is not reproduced. Fill from uniform_()."
        )

    call.__name__ = name
    return call


def _is_contiguous(self: Tensor, memory_format: Any = contiguous_format) -> bool:
    rows = memory_format in (contiguous_format, preserve_format)
    return self.is_contiguous() if rows else False


_HERE = (inner, vdot, erfc, exp2, logdet, nanmedian, is_signed, is_same_size, reshape_as,
         sum_to_size, transpose_, adjoint)  # fmt: skip
_NOTE = "torch's arguments and results"
for _function in _HERE:
    by_caller(Tensor, _function.__name__, _function, _NOTE)
for _name in ("slogdet", "qr", "lstsq"):
    by_caller(Tensor, _name, getattr(linalg, _name), _NOTE)
for _name in ("det", "svd"):
    added(Tensor, _name, getattr(linalg, _name))
for _name in ("cauchy_", "geometric_", "log_normal_"):
    by_caller(Tensor, _name, _not_reproduced(_name), "refused: not torch's random stream")
for _name, _function in {"cumsum_": cumsum, "cumprod_": cumprod}.items():
    by_caller(Tensor, _name, inplace(_function), _NOTE)
by_caller(Tensor, "split_with_sizes", split, _NOTE)
by_caller(Tensor, "is_contiguous", _is_contiguous, "takes memory_format")
added(Tensor, "pinverse", linalg.pinv)
added(Tensor, "mH", property(adjoint))
added(Tensor, "record_stream", lambda self, stream: None)
added(Tensor, "retains_grad", property(lambda self: not self.is_leaf and self.grad is not None))
for _name in ("is_conj", "is_neg", "is_distributed"):
    added(Tensor, _name, lambda self: False)
added(Tensor, "is_nested", False)

FUNCTIONS |= _FOUND | {
    f.__name__: f for f in _HERE if f not in (reshape_as, sum_to_size, transpose_)
}
FUNCTIONS |= {
    "slogdet": linalg.slogdet, "qr": linalg.qr, "lstsq": linalg.lstsq, "det": linalg.det,
    "svd": linalg.svd, "pinverse": linalg.pinv, "trapz": _FOUND["trapezoid"],
}  # fmt: skip
__all__ = [
    "bartlett_window", "chain_matmul", "channels_last", "channels_last_3d", "contiguous_format",
    "detach", "embedding", "kaiser_window", "layout", "memory_format", "preserve_format",
    "scalar_tensor", "sparse_coo", "strided", "unravel_index",
]  # fmt: skip
