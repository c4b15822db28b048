"""Packing: samples of a dataset joined into rows of a fixed length.

Best fit decreasing (arXiv:2404.10830): the longest samples first, each into the row with the least
room that is enough. Rows, and the samples in them, are in the order of trl's.
"""

from __future__ import annotations

import bisect
from collections import defaultdict, deque
from typing import Any

import numpy as np

STRATEGIES = ("bfd", "bfd_split", "wrapped")


def _columns(table: Any) -> list[Any]:
    """Return the columns as single arrays of lists.

    Raises: TypeError unless all hold lists; ValueError unless these are of the same lengths.
    """
    import pyarrow as pa

    columns = [pa.concat_arrays(column.chunks) for column in table.columns]
    for column in columns:
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            raise TypeError("Packing requires all columns to be lists of lists.")
        if not _lengths(column).equals(_lengths(columns[0])):
            raise ValueError("All columns must have values of the same length.")
    return columns


def _lengths(column: Any) -> Any:
    import pyarrow.compute as pc

    return pc.list_value_length(column)


def _rebuilt(column: Any, values: Any, offsets: Any) -> Any:
    """Return lists of ``values`` between ``offsets``, of the type of ``column``."""
    import pyarrow as pa

    return type(column).from_arrays(
        pa.array(offsets, type=column.offsets.type), values, type=column.type
    )


def fill_rows(lengths: np.ndarray, room: int) -> list[list[int]]:
    """Put pieces of ``lengths`` (each 1 to ``room``) into rows. Returns each row's pieces."""
    rows: list[list[int]] = []
    spaces: list[int] = []  # what is left in rows that have room, ascending, each value once
    by_space: dict[int, deque[int]] = defaultdict(deque)
    for piece in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[piece])
        at = bisect.bisect_left(spaces, length)
        if at < len(spaces):
            space = spaces[at]
            row = by_space[space].popleft()
            if not by_space[space]:
                del spaces[at]
        else:
            space, row = room, len(rows)
            rows.append([])
        rows[row].append(piece)
        space -= length
        if space:
            if not by_space[space]:
                bisect.insort(spaces, space)
            by_space[space].append(row)
    return rows


def _pieces(lengths: np.ndarray, room: int, split: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and lengths of the pieces that ``lengths`` are cut into."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    if not split:
        kept = lengths > 0
        return starts[kept], np.minimum(lengths[kept], room)
    counts = -(-lengths // room)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    left = np.repeat(lengths, counts) - within * room
    return np.repeat(starts, counts) + within * room, np.minimum(left, room)


def _pack_bfd(table: Any, seq_length: int, split: bool) -> Any:
    import pyarrow as pa

    columns = _columns(table)
    counted = _lengths(columns[0])
    starts, lengths = _pieces(counted.to_numpy().astype(np.int64), seq_length, split)
    rows = fill_rows(lengths, seq_length)
    order = np.array([piece for row in rows for piece in row], dtype=np.int64)
    ranges = [np.arange(starts[i], starts[i] + lengths[i]) for i in order]
    index = pa.array(np.concatenate([np.empty(0, np.int64), *ranges]))
    offsets = np.cumsum([0, *(int(lengths[row].sum()) for row in rows)])
    packed = [_rebuilt(column, column.flatten().take(index), offsets) for column in columns]
    counts = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int32)
    samples = pa.ListArray.from_arrays(counts, pa.array(lengths[order], type=counted.type))
    return pa.Table.from_arrays([*packed, samples], names=[*table.column_names, "seq_lengths"])


def _pack_wrapped(table: Any, seq_length: int) -> Any:
    import pyarrow as pa

    columns = _columns(table)
    values = [column.flatten() for column in columns]
    offsets = [*range(0, len(values[0]), seq_length), len(values[0])]
    packed = [_rebuilt(c, v, offsets) for c, v in zip(columns, values, strict=True)]
    return pa.Table.from_arrays(packed, names=table.column_names)


def _format(dataset: Any) -> dict[str, Any]:
    """Return the keywords of ``with_format`` that give the dataset's own format back."""
    while isinstance(dataset, dict):
        dataset = next(iter(dataset.values()))
    if not hasattr(dataset, "format"):  # a stream
        formatting = dataset._formatting
        return {"type": None if formatting is None else formatting.format_type}
    own = dict(dataset.format)
    return {**own, **own.pop("format_kwargs", {})}


def pack_dataset(
    dataset: Any, seq_length: int, strategy: str = "bfd", map_kwargs: dict[str, Any] | None = None
) -> Any:
    """Join the samples of a dataset into rows of up to ``seq_length``.

    Args:
        dataset: every column holds lists, of equal length in each row.
        strategy: ``bfd`` keeps samples whole and cuts those that are too long; ``bfd_split`` packs
            the pieces of those too; ``wrapped`` cuts one stream wherever a row is full.
        map_kwargs: further arguments of ``dataset.map``, which packs batch by batch.
    Returns: the dataset; but for ``wrapped``, ``seq_lengths`` tells each row's samples.
    Raises: ValueError for another strategy or unequal lengths; TypeError for other columns.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"Invalid packing strategy '{strategy}', must be one of {STRATEGIES}.")
    own = _format(dataset)
    settings: dict[str, Any] = {"seq_length": seq_length}
    if strategy != "wrapped":
        settings["split"] = strategy == "bfd_split"
        if "columns" in own:
            own["columns"] = [*own["columns"], "seq_lengths"]
    function = _pack_wrapped if strategy == "wrapped" else _pack_bfd
    packed = dataset.with_format("arrow").map(
        function, batched=True, fn_kwargs=settings, **(map_kwargs or {})
    )
    return packed.with_format(**own)
