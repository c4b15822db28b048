import numpy as np
import pytest

from hfpaddle.layers.packing import Packing

pytestmark = pytest.mark.unit


def test_starts_are_read_row_after_row():
    starts = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [1, 1, 0, 1]], dtype=bool)
    packing = Packing.of(starts)
    assert packing is not None
    assert packing.lengths == (2, 2, 4, 1, 2, 1) and packing.rows == 3 and packing.longest == 4
    assert packing.segments.tolist() == [[0, 0, 1, 1], [2, 2, 2, 2], [3, 4, 4, 5]]
    assert packing.positions.tolist() == [[0, 1, 0, 1], [0, 1, 2, 3], [0, 0, 1, 0]]
    assert packing.position_ids("cpu").tolist() == packing.positions.tolist()


def test_rows_of_one_sample_are_not_packed():
    assert Packing.of(np.zeros([2, 5], dtype=bool)) is None
