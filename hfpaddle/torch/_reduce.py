"""Reductions, sorting and counting. Those with indices return torch's named tuples."""

from __future__ import annotations

import math
from typing import Any

import paddle

from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.torch import _sums, return_types
from hfpaddle.torch._dtypes import as_dtype, category, get_default_dtype
from hfpaddle.torch._half import lifted
from hfpaddle.torch._promote import FUNCTIONS, copy_into, title
from hfpaddle.torch._switch import by_caller

Tensor = paddle.Tensor
_SMALL = (paddle.bool, paddle.int8, paddle.uint8, paddle.int16)


def axes(dim: Any) -> Any:
    """Paddle's axis of torch's dim: an int, a list, or None for all."""
    if isinstance(dim, (list, tuple)):
        return [int(d) for d in dim] or None
    return dim if dim is None else int(dim)


def _given(result: Any, out: Any) -> Any:
    if out is None:
        return result
    if isinstance(out, (tuple, list)):
        for target, value in zip(out, result, strict=True):
            copy_into(target, value, resize=True)
        return result
    return copy_into(out, result, resize=True)


def _computable(x: Tensor) -> Tensor:
    """Small integers as int32, for which Paddle has kernels."""
    return paddle.cast(x, "int32") if category(x.dtype) < 2 and x.dtype in _SMALL else x


_sum, _mean, _prod = lifted(_sums.total), lifted(_sums.average), lifted(paddle.prod)
_amax, _amin = lifted(paddle.amax), lifted(paddle.amin)
_argmax, _argmin = lifted(paddle.argmax), lifted(paddle.argmin)
_argsort, _take = lifted(paddle.argsort), lifted(paddle.take_along_axis)
_var = lifted(_sums.spread)


def sum(input, dim=None, keepdim=False, *, dtype=None, out=None) -> Tensor:
    """Sum; bools and integers give int64."""
    kind = as_dtype(dtype) or (paddle.int64 if category(input.dtype) < 2 else input.dtype)
    x = input if input.dtype is kind else paddle.cast(input, kind)
    found = _sum(x, axes(dim), keepdim=keepdim)
    return _given(found if found.dtype is kind else found.astype(kind), out)


def mean(input, dim=None, keepdim=False, *, dtype=None, out=None) -> Tensor:
    """Mean of floating items. Raises: RuntimeError for integers without ``dtype``."""
    kind = as_dtype(dtype) or input.dtype
    if category(kind) < 2:
        what = "Input" if dtype is None else "Output"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {what} dtype must be either a floating point "
            f"or complex dtype. Got: {title(kind)}"
        )
    x = input if input.dtype is kind else paddle.cast(input, kind)
    if 0 in x.shape and dim is None:
        return paddle.full([], math.nan, kind)
    return _given(_mean(x, axes(dim), keepdim=keepdim), out)


def nansum(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """Sum that counts NaN as 0."""
    return sum(paddle.where(paddle.isnan(input), paddle.zeros_like(input), input), dim, keepdim,
               dtype=dtype)  # fmt: skip


def nanmean(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """Mean of the items that are not NaN."""
    return nansum(input, dim, keepdim, dtype=dtype) / sum(
        paddle.logical_not(paddle.isnan(input)), dim, keepdim
    ).astype(input.dtype)


def prod(input, dim=None, keepdim=False, *, dtype=None, out=None) -> Tensor:
    """Product; bools and integers give int64."""
    kind = as_dtype(dtype) or (paddle.int64 if category(input.dtype) < 2 else input.dtype)
    x = input if input.dtype is kind else paddle.cast(input, kind)
    return _given(_prod(x, axes(dim), keepdim=keepdim), out)


def _spread(input, dim, unbiased, correction, keepdim) -> Tensor:
    if isinstance(dim, bool):  # std(unbiased) by position
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    if category(input.dtype) != 2:
        raise (
            RuntimeError("std and var only support floating point and complex dtypes")
            if (category(input.dtype) < 2)
            else MissingFeatureError("std and var of complex tensors have no implementation here.")
        )
    return _var(input, axes(dim), correction, keepdim)


def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None) -> Tensor:
    """Variance, divided by count - 1 unless ``correction`` or ``unbiased`` says otherwise."""
    return _given(_spread(input, dim, unbiased, correction, keepdim), out)


def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None) -> Tensor:
    """Square root of ``var``."""
    return _given(lifted(paddle.sqrt)(_spread(input, dim, unbiased, correction, keepdim)), out)


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """``(var, mean)``."""
    middle = mean(input, None if isinstance(dim, bool) else dim, keepdim)
    return _spread(input, dim, unbiased, correction, keepdim), middle


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """``(std, mean)``."""
    variance, middle = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return paddle.sqrt(variance), middle


def amax(input, dim=(), keepdim=False, *, out=None) -> Tensor:
    """Largest items; equal ones share the gradient."""
    found = _amax(_computable(input), axes(dim), keepdim=keepdim)
    return _given(found if found.dtype is input.dtype else found.astype(input.dtype), out)


def amin(input, dim=(), keepdim=False, *, out=None) -> Tensor:
    """Smallest items; equal ones share the gradient."""
    found = _amin(_computable(input), axes(dim), keepdim=keepdim)
    return _given(found if found.dtype is input.dtype else found.astype(input.dtype), out)


def _pick(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """Values of ``x`` at ``index`` ``[..., 1, ...]`` along ``dim``."""
    if not x.ndim:
        return x
    if x.dtype is paddle.bool:
        return _take(x.astype("uint8"), index, dim, broadcast=False).astype("bool")
    return _take(x, index, dim, broadcast=False)


def _extreme(kind, find, whole, input, dim, keepdim, out):
    if isinstance(dim, Tensor):
        return _given(FUNCTIONS[f"{kind}imum"](input, dim), out)
    if dim is None:
        if input.size == 0:
            raise RuntimeError(
                f"{kind}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
                f"the reduction dim with the 'dim' argument."
            )
        return _given(whole(input), out)
    x = _computable(input)
    index = _first(find, x, int(dim))
    values = _pick(input, index, int(dim))
    if not keepdim and input.ndim:
        values, index = paddle.squeeze(values, int(dim)), paddle.squeeze(index, int(dim))
    return _given(getattr(return_types, kind)(values, index), out)


def _first(find, x: Tensor, dim: int) -> Tensor:
    """Index of the extreme item; of the first NaN where there is one, as torch."""
    if not x.ndim:
        return paddle.zeros([], "int64")
    plain = find(x, dim, keepdim=True)
    if category(x.dtype) == 2:
        nan = paddle.isnan(x.astype("float32"))
        if bool(nan.any()):
            first = paddle.argmax(nan.astype("int32"), dim, keepdim=True)
            return paddle.where(nan.any(dim, keepdim=True), first, plain)
    return plain


def max(input, dim=None, keepdim=False, *, other=None, out=None):
    """Largest item; with ``dim`` the values and their first indices; with a tensor, itemwise."""
    return _extreme("max", _argmax, amax, input, dim if other is None else other, keepdim, out)


def min(input, dim=None, keepdim=False, *, other=None, out=None):
    """Smallest item; with ``dim`` the values and their first indices; with a tensor, itemwise."""
    return _extreme("min", _argmin, amin, input, dim if other is None else other, keepdim, out)


def aminmax(input, *, dim=None, keepdim=False):
    """Smallest and largest."""
    return return_types.aminmax(amin(input, dim, keepdim), amax(input, dim, keepdim))


def argmax(input, dim=None, keepdim=False) -> Tensor:
    """Index of the first largest item."""
    return _arg(_argmax, input, dim, keepdim)


def argmin(input, dim=None, keepdim=False) -> Tensor:
    """Index of the first smallest item."""
    return _arg(_argmin, input, dim, keepdim)


def _arg(find, input, dim, keepdim) -> Tensor:
    x = _computable(input)
    if dim is None:
        found = _first(find, x.flatten(), 0).reshape([])
        return found.reshape([1] * x.ndim) if keepdim else found
    found = _first(find, x, int(dim))
    return found if keepdim or not x.ndim else paddle.squeeze(found, int(dim))


def argsort(input, dim=-1, descending=False, stable=False) -> Tensor:
    """Indices that sort; equal items keep their order."""
    return _argsort(_computable(input), axis=dim, descending=descending, stable=True)


def sort(input, dim=-1, descending=False, stable=False, *, out=None):
    """Sorted values and their indices; equal items keep their order."""
    if not input.ndim:
        return _given(return_types.sort(input, paddle.zeros([], "int64")), out)
    index = argsort(input, dim, descending)
    return _given(return_types.sort(_pick(input, index, dim), index), out)


def msort(input) -> Tensor:
    """Sorted along the first dimension."""
    return sort(input, 0).values


def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """The ``k`` largest (or smallest) items and their indices."""
    if not 0 <= k <= (input.shape[dim] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    found = lifted(paddle.topk)(_computable(input), int(k), axis=dim, largest=largest)
    return _given(return_types.topk(found[0].astype(input.dtype), found[1]), out)


def kthvalue(input, k, dim=-1, keepdim=False, *, out=None):
    """The ``k``-th smallest item (from 1) and its index."""
    if input.ndim and not 1 <= k <= input.shape[dim]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    values, index = sort(input, dim)
    at = paddle.full([1], int(k) - 1, "int64")
    pair = (paddle.index_select(v, at, dim) for v in (values, index))
    pair = pair if keepdim else (paddle.squeeze(v, dim) for v in pair)
    return _given(return_types.kthvalue(*pair), out)


def median(input, dim=None, keepdim=False, *, out=None):
    """The lower median; with ``dim`` also its index."""
    x = input.flatten() if dim is None else input
    axis = 0 if dim is None else int(dim)
    found = kthvalue(x, (x.shape[axis] + 1) // 2, axis, keepdim)
    return found.values if dim is None else _given(return_types.median(*found), out)


def mode(input, dim=-1, keepdim=False, *, out=None):
    """The most frequent item and its last index."""
    return _given(return_types.mode(*paddle.mode(input, dim, keepdim)), out)


def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None) -> Tensor:
    """Items at the fractions ``q``, in the dtype of ``input``."""
    at = q.tolist() if isinstance(q, Tensor) else q
    found = paddle.quantile(input, at, axes(dim), keepdim, interpolation)
    return _given(found.astype(input.dtype), out)


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """Sorted distinct items; then the inverse and the counts, if asked for."""
    found = paddle.unique(
        input, return_index=False, return_inverse=return_inverse, return_counts=return_counts,
        axis=dim,
    )  # fmt: skip
    if isinstance(found, Tensor):
        return found
    found = list(found)
    if return_inverse and dim is None:
        found[1] = found[1].reshape(input.shape)
    return tuple(found)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """Distinct items of each run."""
    found = paddle.unique_consecutive(input, return_inverse, return_counts, axis=dim)
    return found if isinstance(found, Tensor) else tuple(found)


def any(input, dim=None, keepdim=False, *, out=None) -> Tensor:
    """Whether any item is not zero."""
    found = paddle.any(input.astype("bool"), axes(dim), keepdim)
    return _given(found.astype("uint8") if input.dtype is paddle.uint8 else found, out)


def all(input, dim=None, keepdim=False, *, out=None) -> Tensor:
    """Whether no item is zero."""
    found = paddle.all(input.astype("bool"), axes(dim), keepdim)
    return _given(found.astype("uint8") if input.dtype is paddle.uint8 else found, out)


def count_nonzero(input, dim=None) -> Tensor:
    """How many items are not zero, int64."""
    return sum(input != 0, dim)


def logsumexp(input, dim, keepdim=False, *, out=None) -> Tensor:
    """Logarithm of the sum of exponentials."""
    x = input if category(input.dtype) >= 2 else input.astype(get_default_dtype())
    return _given(_sums.logsumexp(x, axes(dim), keepdim), out)


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None) -> Tensor:
    """Vector norm of order ``p`` over ``dim``; "fro" is 2."""
    if p == "nuc":
        return _given(paddle.linalg.norm(input, "nuc", axes(dim), keepdim), out)
    return vector_norm(input, 2 if p == "fro" or p is None else p, dim, keepdim, dtype=dtype,
                       out=out)  # fmt: skip


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None) -> Tensor:
    """``(sum |x|**ord) ** (1 / ord)``; inf and -inf take the largest and smallest, 0 counts."""
    kind = as_dtype(dtype) or x.dtype
    if category(kind) < 2:
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{title(kind)}"
        )
    if float(ord) == 2.0 and category(kind) == 2:
        return _given(lifted(_sums.length)(x.astype(kind), axes(dim), keepdim), out)
    found = lifted(paddle.linalg.vector_norm)(x.astype(kind), float(ord), axes(dim), keepdim)
    return _given(found, out)


def cumsum(input, dim, *, dtype=None, out=None) -> Tensor:
    """Running sum; bools and integers give int64."""
    kind = as_dtype(dtype) or (paddle.int64 if category(input.dtype) < 2 else input.dtype)
    return _given(_sums.running(paddle.cumsum, input.astype(kind), dim), out)


def cumprod(input, dim, *, dtype=None, out=None) -> Tensor:
    """Running product; bools and integers give int64."""
    kind = as_dtype(dtype) or (paddle.int64 if category(input.dtype) < 2 else input.dtype)
    return _given(_sums.running(paddle.cumprod, input.astype(kind), dim), out)


def cummax(input, dim, *, out=None):
    """Running maximum and its index."""
    return _given(return_types.cummax(*paddle.cummax(input, dim)), out)


def cummin(input, dim, *, out=None):
    """Running minimum and its index."""
    return _given(return_types.cummin(*paddle.cummin(input, dim)), out)


def bincount(input, weights=None, minlength=0) -> Tensor:
    """How often each of 0, 1, ... occurs."""
    return paddle.bincount(input, weights, minlength)


def histc(input, bins=100, min=0, max=0, *, out=None) -> Tensor:
    """Counts in equal bins, in the dtype of ``input``."""
    return _given(paddle.histogram(input, bins, min, max).astype(input.dtype), out)


def softmax(input, dim=None, dtype=None) -> Tensor:
    """Softmax over ``dim``."""
    return _softmax(_sums.softmax, input, dim, dtype)


def log_softmax(input, dim=None, dtype=None) -> Tensor:
    """Logarithm of softmax over ``dim``."""
    return _softmax(_sums.log_softmax, input, dim, dtype)


def _softmax(function, input, dim, dtype) -> Tensor:
    kind = as_dtype(dtype) or input.dtype
    if category(kind) < 2:
        raise NotImplementedError(
            f"\"softmax_lastdim_kernel_impl\" not implemented for '{title(kind)}'"
        )
    x = input.astype(kind)
    if not x.ndim:
        return function(x.reshape([1]), 0).reshape([])
    return function(x, -1 if dim is None else int(dim))


METHODS = (
    "sum mean nansum nanmean prod var std amax amin max min aminmax argmax argmin argsort sort "
    "msort topk kthvalue median mode quantile unique unique_consecutive any all count_nonzero "
    "logsumexp norm cumsum cumprod cummax cummin bincount histc softmax log_softmax"
).split()
for _name in METHODS:
    by_caller(Tensor, _name, globals()[_name], "torch's dim, dtypes and named tuples")

__all__ = [*METHODS, "std_mean", "var_mean"]
