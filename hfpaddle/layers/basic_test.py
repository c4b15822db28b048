"""Ids that are no row of a table."""

import numpy as np
import paddle
import pytest

from hfpaddle.core.errors import IdRangeError
from hfpaddle.layers.basic import Embedding

pytestmark = pytest.mark.unit


def plain():
    return Embedding(6, 64, padding_idx=0)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("wrong", [-1, -6, 6, 10**9])
def test_ids_outside_the_table(wrong, dtype):
    table = plain()
    ids = paddle.to_tensor([[1, wrong], [0, 5]], dtype=dtype)
    with pytest.raises(IndexError, match=f"id {wrong}, but the table has 6 rows"):
        table(ids)
    assert issubclass(IdRangeError, IndexError)


def test_ids_inside_the_table():
    table = plain()
    rows = table.weight.numpy()
    for ids in (np.array([[0, 5], [3, 3]]), np.zeros([2, 0], "int64"), np.array(4)):
        got = table(paddle.to_tensor(ids)).numpy()
        np.testing.assert_array_equal(got, rows[ids])
