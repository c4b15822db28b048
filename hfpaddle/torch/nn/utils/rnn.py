"""Sequences of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import paddle

Tensor = paddle.Tensor


class PackedSequence(NamedTuple):
    """The items of several sequences, step by step; longer sequences come first."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:  # fmt: skip
    """Stack sequences ``[L, *]`` as ``[T, B, *]`` (``[B, T, *]``), filled to the longest."""
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be 'left' or 'right', but got {padding_side!r}")
    sequences = list(sequences)
    longest = max(x.shape[0] for x in sequences)
    rows = []
    for x in sequences:
        short = longest - x.shape[0]
        if short:
            fill = paddle.full([short, *x.shape[1:]], padding_value, dtype=x.dtype)
            x = paddle.concat([fill, x] if padding_side == "left" else [x, fill])
        rows.append(x)
    return paddle.stack(rows, axis=0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list:
    """The inverse of :func:`pad_sequence`."""
    lengths = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    axis = 0 if batch_first else 1
    rows = paddle.unbind(padded_sequences, axis)
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Take the items within ``lengths`` out of ``[T, B, *]`` (``[B, T, *]``), step by step."""
    lengths = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    if min(lengths) <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0")
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    if enforce_sorted and any(a < b for a, b in zip(lengths, lengths[1:], strict=False)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    steps = paddle.unbind(input, 1 if batch_first else 0)
    index = None if enforce_sorted else paddle.to_tensor(order, dtype="int64")
    back = None
    if index is not None:
        back = paddle.to_tensor(sorted(range(len(order)), key=order.__getitem__), dtype="int64")
        steps = [paddle.index_select(step, index, axis=0) for step in steps]
    sizes = [sum(n > t for n in lengths) for t in range(max(lengths))]
    data = paddle.concat([step[:n] for step, n in zip(steps, sizes, strict=False)])
    return PackedSequence(data, paddle.to_tensor(sizes, dtype="int64"), index, back)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The padded sequences and their lengths."""
    sizes = sequence.batch_sizes.tolist()
    parts = paddle.split(sequence.data, sizes, axis=0)
    lengths = [sum(n > i for n in sizes) for i in range(sizes[0])]
    rows = [paddle.stack([parts[t][i] for t in range(n)]) for i, n in enumerate(lengths)]
    if sequence.unsorted_indices is not None:
        back = sequence.unsorted_indices.tolist()
        rows, lengths = [rows[i] for i in back], [lengths[i] for i in back]
    padded = pad_sequence(rows, batch_first, padding_value)
    if total_length is not None:
        axis = 1 if batch_first else 0
        short = total_length - padded.shape[axis]
        if short < 0:
            raise ValueError("total_length must be at least the length of the longest sequence")
        shape = list(padded.shape)
        shape[axis] = short
        fill = paddle.full(shape, padding_value, dtype=padded.dtype)
        padded = paddle.concat([padded, fill], axis=axis) if short else padded
    return padded, paddle.to_tensor(lengths, dtype="int64")


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences ``[L, *]``."""
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of :func:`pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
