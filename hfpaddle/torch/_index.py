"""Indexing by tensors, scattering, choosing and comparing whole tensors."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch._dtypes import category
from hfpaddle.torch._half import lifted
from hfpaddle.torch._promote import (
    FUNCTIONS,
    _cast,
    inplace,
    operands,
    title,
)
from hfpaddle.torch._reduce import _given
from hfpaddle.torch._switch import by_caller

Tensor = paddle.Tensor


def _value(value: Any, like: Tensor) -> Tensor:
    return _cast(value, like.dtype, like)


def check_index(index: Tensor, size: int, low: int = 0, kind: type = IndexError) -> None:
    """Refuse an index outside [low, size), where Paddle's kernels read or write what lies there.

    Only on the CPU: elsewhere the look would wait for the device.
    """
    if not index.place.is_cpu_place() or 0 in index.shape or category(index.dtype) != 1:
        return
    least, most = int(paddle.min(index)), int(paddle.max(index))
    if least < low or most >= size:
        wrong = least if least < low else most
        raise kind(f"index out of range in self: index {wrong} is out of bounds for size {size}")


def _shape_of_both(a: Tensor, b: Tensor) -> list[int]:
    return lifted(paddle.broadcast_shape)(list(a.shape), list(b.shape))


def where(condition, input=None, other=None, *, out=None):
    """``input`` where the condition holds, else ``other``; alone, the indices where it does."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if condition.dtype not in (paddle.bool, paddle.uint8):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{title(condition.dtype)}"
        )
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        x, y, _ = operands(FUNCTIONS["mul"](_neutral(input, other, condition), input), other)
    else:
        x, y, _ = operands(input, other)
    shape = _shape_of_both(x, y)
    shape = lifted(paddle.broadcast_shape)(shape, list(condition.shape))
    x, y, condition = (paddle.expand(v, shape) for v in (x, y, condition.astype("bool")))
    return _given(lifted(paddle.where)(condition, x, y), out)


def _neutral(input: Any, other: Any, condition: Tensor) -> Tensor:
    from hfpaddle.torch._promote import result_type

    return paddle.ones([], result_type(input, other))


def method_where(self: Tensor, condition, other) -> Tensor:
    """This tensor where the condition holds, else ``other``."""
    return where(condition, self, other)


def masked_fill(input, mask, value) -> Tensor:
    """``value`` where ``mask`` is True, in the dtype of ``input``."""
    if mask.dtype is not paddle.bool:
        raise RuntimeError(
            f"masked_fill only supports boolean masks, but got mask with dtype {title(mask.dtype)}"
        )
    return where(mask, _value(value, input), input)


def masked_select(input, mask, *, out=None) -> Tensor:
    """The items where ``mask`` is True, in one dimension."""
    shape = _shape_of_both(input, mask)
    return _given(
        paddle.masked_select(paddle.expand(input, shape), paddle.expand(mask, shape)), out
    )


def masked_scatter(input, mask, source) -> Tensor:
    """Items of ``source`` in order where ``mask`` is True."""
    return lifted(paddle.masked_scatter)(input, paddle.expand_as(mask, input), source)


def nonzero(input, *, out=None, as_tuple=False):
    """Indices of items that are not zero, int64 ``[N, ndim]``, or one tensor a dimension."""
    mask = input.astype("bool")
    found = paddle.nonzero(mask if mask.ndim else mask.reshape([1]))
    found = found if mask.ndim else found[:, :0]
    return tuple(found[:, i] for i in range(mask.ndim)) if as_tuple else _given(found, out)


def argwhere(input) -> Tensor:
    """As ``nonzero``."""
    return nonzero(input)


def gather(input, dim, index, *, sparse_grad=False, out=None) -> Tensor:
    """Items at ``index`` along ``dim``; ``index`` may be smaller than ``input``."""
    if index.dtype is not paddle.int64 and index.dtype is not paddle.int32:
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if not input.ndim:
        return input.clone()
    check_index(index, input.shape[dim], kind=RuntimeError)
    found = lifted(paddle.take_along_axis)(input, index, dim, broadcast=False)
    return _given(found, out)


def take_along_dim(input, indices, dim=None, *, out=None) -> Tensor:
    """As ``gather``, broadcasting the other dimensions."""
    if dim is None:
        input, indices, dim = input.flatten(), indices.flatten(), 0
    return _given(lifted(paddle.take_along_axis)(input, indices, dim), out)


def take(input, index) -> Tensor:
    """Items of the flattened tensor."""
    check_index(index, input.size, -input.size)
    return paddle.index_select(input.flatten(), index.flatten(), 0).reshape(index.shape)


_REDUCES = {None: "assign", "add": "add", "sum": "add", "multiply": "multiply", "prod": "multiply",
            "mean": "mean", "amax": "amax", "amin": "amin"}  # fmt: skip


def scatter(input, dim, index, src=None, *, value=None, reduce=None, include_self=True) -> Tensor:
    """``src`` (tensor or number) written at ``index`` along ``dim``."""
    src = value if src is None else src
    if input.ndim:
        check_index(index, input.shape[dim], kind=RuntimeError)
    if not isinstance(src, Tensor):
        src = paddle.full(index.shape, src, input.dtype)
    elif src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if list(src.shape) != list(index.shape):
        src = src[tuple(slice(0, n) for n in index.shape)]
    return lifted(paddle.put_along_axis)(
        input, index, src, dim, _REDUCES[reduce], include_self=include_self, broadcast=False
    )


def scatter_add(input, dim, index, src) -> Tensor:
    """``src`` added at ``index`` along ``dim``."""
    return scatter(input, dim, index, src, reduce="add")


def scatter_reduce(input, dim, index, src, reduce, *, include_self=True) -> Tensor:
    """``src`` combined at ``index`` by "sum", "prod", "mean", "amax" or "amin"."""
    return scatter(input, dim, index, src, reduce=reduce, include_self=include_self)


def index_select(input, dim, index, *, out=None) -> Tensor:
    """The slices at ``index`` along ``dim``."""
    if input.ndim:
        check_index(index, input.shape[dim])
    return _given(paddle.index_select(input, index.flatten(), dim), out)


def index_add(input, dim, index, source, *, alpha=1, out=None) -> Tensor:
    """``alpha * source`` added to the slices at ``index``."""
    check_index(index, input.shape[dim])
    source = source if alpha == 1 else FUNCTIONS["mul"](source, alpha)
    return _given(lifted(paddle.index_add)(input, index, dim, source), out)


def index_copy(input, dim, index, source) -> Tensor:
    """``source`` written to the slices at ``index``."""
    check_index(index, input.shape[dim])
    result = input.clone()
    result[(slice(None),) * (dim % input.ndim) + (index,)] = source
    return result


def index_fill(input, dim, index, value) -> Tensor:
    """``value`` written to the slices at ``index``."""
    check_index(index, input.shape[dim], -input.shape[dim])
    result = input.clone()
    result[(slice(None),) * (dim % input.ndim) + (index,)] = value
    return result


def index_put(input, indices, values, accumulate=False) -> Tensor:
    """``values`` written (or added) at a tuple of index tensors."""
    if all(isinstance(index, Tensor) and category(index.dtype) == 1 for index in indices):
        for index, size in zip(indices, input.shape, strict=False):
            check_index(index, size, -size)
    return paddle.index_put(input, tuple(indices), _value(values, input), accumulate)


def index_reduce(input, dim, index, source, reduce, *, include_self=True) -> Tensor:
    """Slices of ``source`` combined at ``index`` by "prod", "mean", "amax" or "amin"."""
    check_index(index, input.shape[dim])
    shape = [-1 if d == dim % input.ndim else 1 for d in range(input.ndim)]
    spread = paddle.expand(paddle.reshape(index, shape), source.shape)
    return scatter(input, dim, spread, source, reduce=reduce, include_self=include_self)


def isin(elements, test_elements, *, assume_unique=False, invert=False) -> Tensor:
    """Which items occur in ``test_elements``."""
    anchor = elements if isinstance(elements, Tensor) else test_elements
    pair = (_cast(v, anchor.dtype, anchor) for v in (elements, test_elements))
    one, many = pair
    return paddle.isin(one, many.flatten(), assume_unique, invert)


def equal(input, other) -> bool:
    """Whether shapes and items are the same, as a Python bool."""
    if list(input.shape) != list(other.shape):
        return False
    return bool(FUNCTIONS["eq"](input, other).all())


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> Tensor:
    """Which items differ by at most ``atol + rtol * |other|``."""
    if category(input.dtype) < 2:
        input, other = (paddle.cast(v, "float64") for v in (input, other))
    return lifted(paddle.isclose)(input, other, rtol, atol, equal_nan)


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether all items are close, as a Python bool."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, **_) -> Tensor:
    """Where ``input`` would keep the sequence sorted."""
    right = right or side == "right"
    if not isinstance(input, Tensor):
        found = paddle.searchsorted(
            sorted_sequence, _value(input, sorted_sequence).reshape([1]), out_int32, right
        )
        return found.reshape([])
    x, sequence, _dtype = operands(input, sorted_sequence)
    return paddle.searchsorted(sequence, x, out_int32, right)


def bucketize(input, boundaries, *, out_int32=False, right=False) -> Tensor:
    """As ``searchsorted`` with the sequence second."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def diff(input, n=1, dim=-1, prepend=None, append=None) -> Tensor:
    """Differences of neighbours."""
    return paddle.diff(input, n, dim, prepend, append)


def tril(input, diagonal=0, *, out=None) -> Tensor:
    """The lower triangle, zeros elsewhere."""
    return _given(lifted(paddle.tril)(input, diagonal), out)


def triu(input, diagonal=0, *, out=None) -> Tensor:
    """The upper triangle, zeros elsewhere."""
    return _given(lifted(paddle.triu)(input, diagonal), out)


_PURE = (
    "masked_fill masked_scatter scatter scatter_add scatter_reduce index_add index_copy index_fill "
    "index_put index_reduce tril triu"
).split()
_OTHERS = (
    "masked_select nonzero argwhere gather take_along_dim take index_select isin equal isclose "
    "allclose bucketize diff"
).split()
_NOTE = "torch's argument order and dtypes"
for _name in (*_PURE, *_OTHERS):
    by_caller(Tensor, _name, globals()[_name], _NOTE)
for _name in _PURE:
    by_caller(Tensor, f"{_name}_", inplace(globals()[_name]), _NOTE)
by_caller(Tensor, "where", method_where, "the condition is the first argument")


__all__ = [*_PURE, *_OTHERS, "searchsorted", "where"]
