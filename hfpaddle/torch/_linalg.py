"""Products of matrices and what is built on them."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch._half import lifted
from hfpaddle.torch._promote import FUNCTIONS, inplace, matmul
from hfpaddle.torch._reduce import _given
from hfpaddle.torch._switch import by_caller, property_by_caller

Tensor = paddle.Tensor


def _need(dims: int, name: str, *tensors: Tensor) -> None:
    for x in tensors:
        if x.ndim != dims:
            raise RuntimeError(f"{name}: expected {dims}-D tensors, got one of {x.ndim}-D")


def mm(input, mat2, *, out=None) -> Tensor:
    """Product of two matrices."""
    _need(2, "mm", input, mat2)
    return matmul(input, mat2, out=out)


def bmm(input, mat2, *, out=None) -> Tensor:
    """Products of ``[B, N, M]`` with ``[B, M, P]``."""
    _need(3, "bmm", input, mat2)
    return matmul(input, mat2, out=out)


def mv(input, vec, *, out=None) -> Tensor:
    """Matrix times vector."""
    return matmul(input, vec, out=out)


def dot(input, tensor, *, out=None) -> Tensor:
    """Inner product of two vectors."""
    _need(1, "dot", input, tensor)
    return _given(FUNCTIONS["mul"](input, tensor).sum(), out)


def outer(input, vec2, *, out=None) -> Tensor:
    """All products of two vectors."""
    _need(1, "outer", input, vec2)
    return _given(FUNCTIONS["mul"](input.unsqueeze(1), vec2.unsqueeze(0)), out)


def _plus(base: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta * base + alpha * product``; with beta 0 NaN in ``base`` does not count."""
    product = product if alpha == 1 else FUNCTIONS["mul"](product, alpha)
    if beta == 0:
        return product.clone() if alpha == 1 else product
    return FUNCTIONS["add"](product, base, alpha=beta)


def addmm(input, mat1, mat2, *, beta=1, alpha=1, out=None) -> Tensor:
    """``beta * input + alpha * mat1 @ mat2``."""
    return _given(_plus(input, mm(mat1, mat2), beta, alpha), out)


def baddbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None) -> Tensor:
    """``beta * input + alpha * batch1 @ batch2``."""
    return _given(_plus(input, bmm(batch1, batch2), beta, alpha), out)


def addbmm(input, batch1, batch2, *, beta=1, alpha=1) -> Tensor:
    """``beta * input + alpha * sum of batch1 @ batch2``."""
    return _plus(input, bmm(batch1, batch2).sum(0), beta, alpha)


def addmv(input, mat, vec, *, beta=1, alpha=1) -> Tensor:
    """``beta * input + alpha * mat @ vec``."""
    return _plus(input, mv(mat, vec), beta, alpha)


def einsum(equation, *operands) -> Tensor:
    """Sum of products in Einstein's notation."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return lifted(paddle.einsum)(equation, *operands)


def tensordot(a, b, dims=2) -> Tensor:
    """Sum over pairs of dimensions."""
    return lifted(paddle.tensordot)(a, b, dims)


def cdist(x1, x2, p=2.0, compute_mode=None) -> Tensor:
    """Distances between all rows."""
    return paddle.cdist(x1, x2, p)


def cross(input, other, dim=None) -> Tensor:
    """Vector product."""
    return paddle.cross(input, other, 9 if dim is None else dim)


def diag(input, diagonal=0) -> Tensor:
    """A vector as diagonal matrix, or the diagonal of a matrix."""
    return paddle.diag(input, diagonal)


def diagonal(input, offset=0, dim1=0, dim2=1) -> Tensor:
    """The diagonal, as a view."""
    return paddle.diagonal(input, offset, dim1, dim2)


def trace(input) -> Tensor:
    """Sum of the diagonal."""
    return diagonal(input).sum()


def kron(input, other) -> Tensor:
    """Kronecker product."""
    return paddle.kron(input, other)


def cosine_similarity(x1, x2, dim=1, eps=1e-8) -> Tensor:
    """Cosine of the angle."""
    return lifted(paddle.nn.functional.cosine_similarity)(x1, x2, axis=dim, eps=eps)


def polar(abs, angle) -> Tensor:
    """Complex numbers of length and angle."""
    return paddle.complex(abs * paddle.cos(angle), abs * paddle.sin(angle))


def view_as_real(input) -> Tensor:
    """Real and imaginary part as a last dimension."""
    return paddle.as_real(input)


def view_as_complex(input) -> Tensor:
    """The last dimension, of size 2, as complex numbers."""
    return paddle.as_complex(input)


def real(input) -> Tensor:
    """Real part."""
    return paddle.real(input) if input.dtype in (paddle.complex64, paddle.complex128) else input


def imag(input) -> Tensor:
    """Imaginary part."""
    return paddle.imag(input)


def angle(input) -> Tensor:
    """Angle of complex numbers."""
    return paddle.angle(input)


_METHODS = (
    "mm bmm mv dot outer addmm baddbmm addbmm addmv cross diag diagonal trace kron matmul"
).split()
for _name in _METHODS:
    by_caller(Tensor, _name, globals()[_name], "torch's arguments")
for _name in ("addmm", "baddbmm"):
    by_caller(Tensor, f"{_name}_", inplace(globals()[_name]), "torch's arguments")
for _name in ("real", "imag"):
    property_by_caller(
        Tensor, _name, globals()[_name], note="an attribute, where Paddle has a method"
    )
ger = outer
__all__ = [
    *_METHODS[:-1], "angle", "cdist", "cosine_similarity", "einsum", "ger", "imag", "polar", "real",
    "tensordot", "view_as_complex", "view_as_real",
]  # fmt: skip
