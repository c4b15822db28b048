import numpy as np
import paddle
import pytest

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.alibi import alibi_positions, alibi_slopes, with_alibi
from hfpaddle.layers.masks import AttentionMask


def test_slopes_of_the_paper():
    np.testing.assert_allclose(alibi_slopes(8), [2.0**-i for i in range(1, 9)], rtol=1e-6)


def test_slopes_between_powers_of_two():
    want = [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]
    np.testing.assert_allclose(alibi_slopes(6), want, rtol=1e-6)


def test_positions_count_real_tokens():
    mask = paddle.to_tensor([[0, 1, 1], [1, 1, 0]])
    got = alibi_positions(mask, 4, mask.place)
    assert got.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert alibi_positions(None, 3, mask.place).tolist() == [[0, 1, 2]]


def test_positions_need_two_dimensions():
    with pytest.raises(UnsupportedArgumentError, match="alibi"):
        alibi_positions(paddle.ones([1, 1, 2, 2]), 2, "cpu")


def test_bias_is_added_to_the_mask():
    mask = with_alibi(AttentionMask(2, 2), paddle.to_tensor([[[0.0, 0.5]]]))
    assert mask.dense("cpu").tolist() == [[[[0.0, float("-inf")], [0.0, 0.5]]]]
