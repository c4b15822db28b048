"""Rows are full as best fit decreasing fills them, and no token is lost or reordered."""

from __future__ import annotations

import datasets
import numpy as np
import pytest

from hfpaddle.trl.packing import fill_rows, pack_dataset

pytestmark = pytest.mark.unit

IDS = [[1, 2, 3, 4, 5], [6, 7], [], [8, 9, 10], [11]]


def test_pieces_go_where_least_room_is_left():
    rows = fill_rows(np.array([2, 7, 3, 8, 1]), 10)
    assert rows == [[3, 0], [1, 2], [4]]


def test_no_row_is_overfull_and_each_piece_is_placed_once():
    lengths = np.random.default_rng(0).integers(1, 33, 500)
    rows = fill_rows(lengths, 32)
    assert sorted(piece for row in rows for piece in row) == list(range(500))
    assert max(lengths[row].sum() for row in rows) <= 32
    needed = max(np.ceil(lengths.sum() / 32), (lengths > 16).sum())
    assert len(rows) <= 11 / 9 * needed + 1  # what best fit decreasing guarantees


@pytest.mark.parametrize(
    ("strategy", "packed", "lengths"),
    [
        ("bfd", [[1, 2, 3, 4], [8, 9, 10, 11], [6, 7]], [[4], [3, 1], [2]]),
        ("bfd_split", [[1, 2, 3, 4], [8, 9, 10, 5], [6, 7, 11]], [[4], [3, 1], [2, 1]]),
        ("wrapped", [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]], None),
    ],
)
def test_strategies(strategy, packed, lengths):
    data = datasets.Dataset.from_dict({"input_ids": IDS, "labels": IDS})
    done = pack_dataset(data, 4, strategy)
    assert done["input_ids"][:] == packed and done["labels"][:] == packed
    if lengths is None:
        assert "seq_lengths" not in done.column_names
    else:
        assert done["seq_lengths"][:] == lengths


def test_refusals():
    data = datasets.Dataset.from_dict({"input_ids": IDS})
    with pytest.raises(ValueError, match="Invalid packing strategy 'ffd'"):
        pack_dataset(data, 4, "ffd")
    with pytest.raises(TypeError, match="lists of lists"):
        pack_dataset(datasets.Dataset.from_dict({"text": ["a"]}), 4)
    with pytest.raises(ValueError, match="same length"):
        pack_dataset(datasets.Dataset.from_dict({"a": [[1]], "b": [[1, 2]]}), 4)
