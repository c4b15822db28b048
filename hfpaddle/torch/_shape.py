"""Views, joining and splitting."""

from __future__ import annotations

import builtins
from typing import Any

import paddle

from hfpaddle.torch._create import Size, full_size
from hfpaddle.torch._dtypes import promote_types
from hfpaddle.torch._half import lifted
from hfpaddle.torch._promote import copy_into
from hfpaddle.torch._switch import by_caller, property_by_caller

Tensor = paddle.Tensor
_expand, _concat = lifted(paddle.expand), lifted(paddle.concat)
_reshape = lifted(paddle.reshape)


def _flat(args: tuple) -> list[int]:
    return list(full_size(args))


def view(self: Tensor, *shape) -> Tensor:
    """The same memory in another shape, or read as another dtype.

    Raises: RuntimeError where the strides do not allow it.
    """
    if len(shape) == 1 and isinstance(shape[0], paddle.dtype):
        return self.view(shape[0])
    size = _flat(shape)
    if not self.is_contiguous() and self._numel() > 1:
        try:
            return self.view(size)
        except (ValueError, RuntimeError) as error:
            raise RuntimeError(
                "view size is not compatible with input tensor's size and stride (at least one "
                "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
            ) from error
    return reshape(self, size)


def reshape(input, *shape) -> Tensor:
    """In another shape: a view where the strides allow it."""
    size = _flat(shape)
    if -1 not in size and 0 not in size:
        return _reshape(input, size)
    known, count = 1, input._numel()
    for n in size:
        known *= n if n != -1 else 1
    if size.count(-1) > 1 or (-1 in size and (known == 0 or count % known)):
        raise RuntimeError(f"shape '{size}' is invalid for input of size {count}")
    # Paddle copies the input's size where 0 stands.
    size = [count // known if n == -1 else n for n in size]
    if 0 in size:
        if count:
            raise RuntimeError(f"shape '{size}' is invalid for input of size {count}")
        return paddle.empty(size, input.dtype)
    return _reshape(input, size)


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """A view in the shape of ``other``."""
    return view(self, *other.shape)


def expand(self: Tensor, *sizes, implicit=False) -> Tensor:
    """Dimensions of size 1 repeated; -1 keeps one. Paddle copies: later writes are not seen."""
    return _expand(self, _flat(sizes))


def repeat(self: Tensor, *repeats) -> Tensor:
    """Copies side by side, ``repeats`` times in each dimension."""
    return paddle.tile(self, _flat(repeats))


def tile(input, *dims) -> Tensor:
    """As ``repeat``; missing leading counts are 1."""
    return paddle.tile(input, _flat(dims))


def repeat_interleave(input, repeats, dim=None, *, output_size=None) -> Tensor:
    """Each item ``repeats`` times, one after the other."""
    if isinstance(repeats, Tensor):
        repeats = repeats.item() if repeats.size == 1 else repeats
    if dim is None:
        input, dim = input.flatten(), 0
    return paddle.repeat_interleave(input, repeats, dim)


def permute(input, *dims) -> Tensor:
    """A view with the dimensions in another order."""
    return paddle.transpose(input, [d % input.ndim for d in _flat(dims)])


def transpose(input, dim0, dim1) -> Tensor:
    """A view with two dimensions swapped."""
    order = list(range(input.ndim))
    if not order:
        return input
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return paddle.transpose(input, order)


def t(input) -> Tensor:
    """The transpose of a matrix; fewer dimensions stay."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input if input.ndim < 2 else transpose(input, 0, 1)


def movedim(input, source, destination) -> Tensor:
    """Dimensions at other places."""
    return paddle.moveaxis(input, source, destination)


def squeeze(input, dim=None) -> Tensor:
    """Without dimensions of size 1."""
    return paddle.squeeze(input, list(dim) if isinstance(dim, tuple) else dim)


def unsqueeze(input, dim) -> Tensor:
    """With a dimension of size 1 at ``dim``."""
    return paddle.unsqueeze(input, int(dim))


def flatten(input, start_dim=0, end_dim=-1) -> Tensor:
    """A run of dimensions as one."""
    return paddle.flatten(input, start_dim, end_dim) if input.ndim else input.reshape([1])


def ravel(input) -> Tensor:
    """One dimension."""
    return flatten(input)


def unflatten(input, dim, sizes) -> Tensor:
    """One dimension as several."""
    dim = dim % input.ndim
    shape = list(input.shape)
    return reshape(input, [*shape[:dim], *sizes, *shape[dim + 1 :]]) if -1 not in sizes else (
        paddle.unflatten(input, dim, list(sizes))
    )  # fmt: skip


def swapaxes(input, axis0, axis1) -> Tensor:
    """As ``transpose``."""
    return transpose(input, axis0, axis1)


def split(tensor, split_size_or_sections=None, dim=0, *, split_size=None) -> tuple:
    """Views of ``split_size`` items (the last may be shorter), or of the sizes listed."""
    sizes = split_size_or_sections if split_size is None else split_size
    total = tensor.shape[dim]
    if isinstance(sizes, int):
        if sizes <= 0 and total:
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={sizes}"
            )
        starts = range(0, max(total, 1), max(sizes, 1))
        sizes = [min(sizes, total - start) for start in starts]
    elif builtins.sum(sizes) != total:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {total} (input tensor's size "
            f"at dimension {dim}), but got split_sizes={list(sizes)}"
        )
    found, start = [], 0
    for size in sizes:
        found.append(narrow(tensor, dim, start, int(size)))
        start += int(size)
    return tuple(found)


def chunk(input, chunks, dim=0) -> tuple:
    """At most ``chunks`` views of the same size, but for the last."""
    total = input.shape[dim]
    return split(input, max(1, -(-total // chunks)), dim)


def tensor_split(input, indices_or_sections, dim=0) -> tuple:
    """Views of sizes that differ by one at most, or cut at the indices."""
    return tuple(paddle.tensor_split(input, indices_or_sections, dim))


def unbind(input, dim=0) -> tuple:
    """Views at each index of ``dim``."""
    return tuple(select(input, dim, i) for i in range(input.shape[dim]))


def narrow(input, dim, start, length) -> Tensor:
    """The view of ``length`` items from ``start`` on."""
    start = int(start) + (input.shape[dim] if start < 0 else 0)
    if start + length > input.shape[dim]:
        raise RuntimeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({input.shape[dim]})."
        )
    if not length:
        shape = list(input.shape)
        shape[dim] = 0
        return paddle.empty(shape, input.dtype)
    return input[(slice(None),) * (dim % input.ndim) + (slice(start, start + length),)]


def select(input, dim, index) -> Tensor:
    """The view at one index of ``dim``, without it."""
    return input[(slice(None),) * (dim % input.ndim) + (int(index),)]


def _one_dtype(tensors) -> list[Tensor]:
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("expected a non-empty list of Tensors")
    kind = tensors[0].dtype
    for item in tensors[1:]:
        kind = promote_types(kind, item.dtype)
    return [item if item.dtype is kind else paddle.cast(item, kind) for item in tensors]


def _joined(result: Tensor, out: Any) -> Tensor:
    return result if out is None else copy_into(out, result, resize=True)


def cat(tensors, dim=0, *, axis=None, out=None) -> Tensor:
    """One after the other along ``dim``; an empty 1-d tensor fits everywhere."""
    dim = dim if axis is None else axis
    tensors = _one_dtype(tensors)
    full = [x for x in tensors if list(x.shape) != [0]] or tensors[:1]
    return _joined(full[0].clone() if len(full) == 1 else _concat(full, dim), out)


def stack(tensors, dim=0, *, out=None) -> Tensor:
    """Along a new dimension."""
    tensors = _one_dtype(tensors)
    if any(list(x.shape) != list(tensors[0].shape) for x in tensors):
        raise RuntimeError("stack expects each tensor to be equal size")
    return _joined(paddle.stack(tensors, dim), out)


def vstack(tensors, *, out=None) -> Tensor:
    """Rows below each other."""
    return _joined(paddle.vstack(_one_dtype(tensors)), out)


def hstack(tensors, *, out=None) -> Tensor:
    """Columns beside each other."""
    return _joined(paddle.hstack(_one_dtype(tensors)), out)


def dstack(tensors, *, out=None) -> Tensor:
    """Along the third dimension."""
    return _joined(paddle.dstack(_one_dtype(tensors)), out)


def column_stack(tensors, *, out=None) -> Tensor:
    """1-d tensors as columns."""
    return _joined(paddle.column_stack(_one_dtype(tensors)), out)


def _several(tensors: tuple) -> list[Tensor]:
    return list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else (
        list(tensors)
    )  # fmt: skip


def meshgrid(*tensors, indexing="ij") -> tuple:
    """Grids of coordinates."""
    grids = paddle.meshgrid(_several(tensors))
    if indexing == "ij":
        return tuple(grids)
    if indexing != "xy":
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    first, second, *rest = _several(tensors)
    grids = [transpose(grid, 0, 1) for grid in paddle.meshgrid([first, second, *rest])]
    return tuple(grids)


def broadcast_to(input, size) -> Tensor:
    """As ``expand``."""
    return _expand(input, _flat((size,)))


def broadcast_tensors(*tensors) -> tuple:
    """Views of one common size."""
    return tuple(paddle.broadcast_tensors(_several(tensors)))


def broadcast_shapes(*shapes) -> Size:
    """The size to which the shapes broadcast."""
    size: list[int] = []
    for shape in shapes:
        shape = [shape] if isinstance(shape, int) else list(shape)
        size = paddle.broadcast_shape(size, shape)
    return Size(size)


def flip(input, *dims, **named) -> Tensor:
    """Dimensions the other way round."""
    return paddle.flip(input, _flat((named["dims"],) if "dims" in named else dims))


def fliplr(input) -> Tensor:
    """The second dimension the other way round."""
    return flip(input, 1)


def flipud(input) -> Tensor:
    """The first dimension the other way round."""
    return flip(input, 0)


def roll(input, shifts, dims=None) -> Tensor:
    """Items moved on, the last to the front."""
    return paddle.roll(input, shifts, list(dims) if isinstance(dims, tuple) else dims)


def rot90(input, k=1, dims=(0, 1)) -> Tensor:
    """Turned by 90 degrees ``k`` times."""
    return paddle.rot90(input, k, list(dims))


def unfold(self: Tensor, dimension, size, step) -> Tensor:
    """All windows of ``size`` items, as a last dimension."""
    return paddle.unfold(self, dimension, size, step)


def as_strided(input, size, stride, storage_offset=None) -> Tensor:
    """The memory with given strides, in items."""
    offset = 0 if storage_offset is None else storage_offset * input.element_size()
    return paddle.as_strided(input, list(size), list(stride), offset)


def atleast_1d(*tensors):
    """With one dimension or more."""
    found = tuple(x if x.ndim else x.reshape([1]) for x in _several(tensors))
    return found[0] if len(found) == 1 else found


def atleast_2d(*tensors):
    """With two dimensions or more."""
    found = tuple(paddle.atleast_2d(x) for x in _several(tensors))
    return found[0] if len(found) == 1 else found


def clone(input, *, memory_format=None) -> Tensor:
    """A copy, through which gradients flow."""
    return paddle.clone(input)


def contiguous(self: Tensor, memory_format=None) -> Tensor:
    """The tensor, or a copy in row order."""
    return self if self.is_contiguous() else self.contiguous()


def numel(input) -> int:
    """How many items."""
    return input._numel() if hasattr(input, "_numel") else int(paddle.numel(input))


_METHODS = (
    "view view_as reshape expand repeat tile repeat_interleave permute transpose t movedim squeeze "
    "unsqueeze flatten ravel unflatten swapaxes split chunk tensor_split unbind narrow select flip "
    "fliplr flipud roll rot90 unfold as_strided broadcast_to contiguous clone numel"
).split()
for _name in _METHODS:
    by_caller(Tensor, _name, globals()[_name], "torch's arguments, views and tuples")
by_caller(Tensor, "nelement", numel, "")
by_caller(Tensor, "moveaxis", movedim, "torch's arguments")
by_caller(Tensor, "swapdims", swapaxes, "torch's arguments")


property_by_caller(
    Tensor, "shape", lambda self: Size(self.shape), note="a torch.Size: a tuple, hashable"
)

moveaxis, swapdims, concat, concatenate, row_stack = movedim, swapaxes, cat, cat, vstack
split_with_sizes = split
__all__ = [
    *(n for n in _METHODS if n not in ("view", "view_as", "expand", "repeat", "contiguous",
                                       "unfold")),
    "atleast_1d", "atleast_2d", "broadcast_shapes", "broadcast_tensors", "cat", "column_stack",
    "concat", "concatenate", "dstack", "hstack", "meshgrid", "moveaxis", "row_stack",
    "split_with_sizes", "stack", "swapdims", "vstack",
]  # fmt: skip
