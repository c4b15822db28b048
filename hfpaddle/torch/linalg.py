"""``torch.linalg`` over ``paddle.linalg``."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._linalg import cross, diagonal
from hfpaddle.torch._promote import matmul
from hfpaddle.torch._reduce import axes, vector_norm

_SVD = namedtuple("svd", "U S Vh")
_QR = namedtuple("qr", "Q R")
_EIGH = namedtuple("eigh", "eigenvalues eigenvectors")
_SLOGDET = namedtuple("slogdet", "sign logabsdet")

inv = paddle.linalg.inv
det = paddle.linalg.det
pinv = paddle.linalg.pinv
solve = paddle.linalg.solve
matrix_power = paddle.linalg.matrix_power
matrix_exp = getattr(paddle.linalg, "matrix_exp", None)
eigvalsh = paddle.linalg.eigvalsh


def norm(A, ord: Any = None, dim: Any = None, keepdim=False, *, dtype=None, out=None):
    """Vector norm, or matrix norm where ``ord`` is given for two dimensions."""
    if ord is None or (A.ndim == 1 and dim is None) or isinstance(dim, int):
        return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)
    return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim)


def matrix_norm(A, ord: Any = "fro", dim=(-2, -1), keepdim=False):
    """Norm of matrices."""
    if ord == "fro":
        return vector_norm(A, 2, list(dim), keepdim)
    return paddle.linalg.matrix_norm(A, ord, axes(dim), keepdim)


def svd(A, full_matrices: bool = True):
    """``U, S, Vh``."""
    return _SVD(*paddle.linalg.svd(A, full_matrices))


def svdvals(A):
    """Singular values."""
    return paddle.linalg.svd(A, False)[1]


def qr(A, mode: str = "reduced"):
    """``Q, R``."""
    return _QR(*paddle.linalg.qr(A, mode))


def eigh(A, UPLO: str = "L"):
    """Eigenvalues and vectors of symmetric matrices."""
    return _EIGH(*paddle.linalg.eigh(A, UPLO))


def cholesky(A, *, upper: bool = False):
    """Cholesky factor."""
    return paddle.linalg.cholesky(A, upper)


def slogdet(A):
    """Sign and logarithm of the determinant."""
    found = paddle.linalg.slogdet(A)
    return _SLOGDET(found[0], found[1])


def multi_dot(tensors):
    """Product of several matrices."""
    return paddle.linalg.multi_dot(list(tensors))


def lstsq(A, B, rcond=None, *, driver=None):
    """Least squares."""
    if driver not in (None, "gelsd", "gelsy"):
        raise UnsupportedArgumentError(f"linalg.lstsq(driver={driver!r}): use 'gelsd' or 'gelsy'.")
    names = namedtuple("lstsq", "solution residuals rank singular_values")
    return names(*paddle.linalg.lstsq(A, B, rcond, driver))


def solve_triangular(A, B, *, upper: bool, left: bool = True, unitriangular: bool = False):
    """X with ``A @ X = B`` (``X @ A = B`` if not ``left``) for triangular ``A``."""
    if not left:
        found = paddle.linalg.triangular_solve(A.mT, B.mT, not upper, False, unitriangular)
        return found.mT
    return paddle.linalg.triangular_solve(A, B, upper, False, unitriangular)


def matrix_rank(A, *, atol=None, rtol=None, hermitian: bool = False):
    """How many singular values are above the tolerance, int64."""
    return paddle.linalg.matrix_rank(A, hermitian=hermitian, atol=atol, rtol=rtol)


def cond(A, p=None):
    """Condition number."""
    return paddle.linalg.cond(A, p)


def vecdot(x, y, *, dim: int = -1):
    """Sum of the products over ``dim``."""
    return (x.conj() * y).sum(dim) if x.is_complex() else (x * y).sum(dim)


__all__ = ["cross", "diagonal", "matmul", "vector_norm"]
