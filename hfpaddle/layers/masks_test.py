"""What each query sees, against the rule written out."""

import numpy as np
import paddle
import pytest

from hfpaddle.layers.masks import AttentionMask, bias_from_user
from hfpaddle.layers.packing import Packing

pytestmark = pytest.mark.unit


def seen(mask, rows=1):
    """``[rows, S, T]`` booleans of a mask."""
    dense = mask.dense(paddle.CPUPlace())
    shape = (rows, mask.queries, mask.keys)
    if dense is None:
        return np.ones(shape, dtype=bool)
    assert dense.dtype == paddle.float32 and mask.dense(paddle.CPUPlace()) is dense
    values = dense.numpy()[:, 0]
    assert set(np.unique(values)) <= {0.0, -np.inf}
    return np.broadcast_to(values == 0, shape)


def rule(queries, keys, offset=0, key_offset=0, causal=True, window=None):
    q = offset + np.arange(queries)[:, None]
    k = key_offset + np.arange(keys)[None, :]
    visible = k <= q if causal else np.ones((queries, keys), dtype=bool)
    if window is not None:
        visible = visible & (q - k < window if causal else abs(q - k) <= window)
    return visible


CASES = [
    {"queries": 5, "keys": 5}, {"queries": 1, "keys": 7, "offset": 6},
    {"queries": 3, "keys": 7, "offset": 4}, {"queries": 4, "keys": 4, "causal": False},
    {"queries": 6, "keys": 6, "window": 3}, {"queries": 1, "keys": 3, "offset": 9, "key_offset": 7,
     "window": 3}, {"queries": 2, "keys": 6, "offset": 5, "key_offset": 1, "window": 4},
    {"queries": 5, "keys": 5, "causal": False, "window": 1},
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rules(case):
    mask = AttentionMask(**case)
    np.testing.assert_array_equal(seen(mask)[0], rule(**case))
    assert mask.trivial is bool(rule(**case).all()) and (mask.dense("cpu") is None) is mask.trivial


@pytest.mark.parametrize("dtype", ["int64", "bool", "float32"])
def test_padding(dtype):
    given = np.array([[0, 0, 1, 1], [1, 1, 1, 1]])
    mask = AttentionMask(4, 4, padding=paddle.to_tensor(given).astype(dtype))
    np.testing.assert_array_equal(seen(mask, 2), rule(4, 4)[None] & (given[:, None] > 0))
    assert mask.blind  # the first two queries of the first row see nothing
    right = AttentionMask(4, 4, padding=paddle.to_tensor(given[:, ::-1].copy()))
    right.dense(paddle.CPUPlace())
    assert not right.blind
    assert AttentionMask(4, 4, padding=paddle.ones([2, 4])).padding is None


def test_padding_is_cut_to_the_cache():
    """A window keeps the last keys; keys that are not written yet are hidden."""
    given = paddle.to_tensor([[0, 1, 1, 1, 1, 1]])
    mask = AttentionMask(1, 3, offset=5, key_offset=3, padding=given)
    assert mask.padding is None
    mask = AttentionMask(2, 8, offset=4, padding=given)
    want = rule(2, 8, 4) & np.array([0, 1, 1, 1, 1, 1, 0, 0], dtype=bool)
    np.testing.assert_array_equal(seen(mask)[0], want)


def test_packed_samples():
    """Whole, for those who ask for weights; and the block of the longest sample."""
    ids = np.array([[0, 0, 1, 1, 1]])
    mask = AttentionMask(5, 5, packing=Packing((2, 3)))
    np.testing.assert_array_equal(seen(mask)[0], rule(5, 5) & (ids.T == ids))
    assert not mask.trivial
    np.testing.assert_array_equal(mask.block("cpu").numpy()[0, 0] == 0, rule(3, 3))
    windowed = AttentionMask(5, 5, packing=Packing((1, 4)), window=2)
    np.testing.assert_array_equal(windowed.block("cpu").numpy()[0, 0] == 0, rule(4, 4, window=2))


def test_packed_key_bias():
    """Each sample's keys get the bias of their position in it."""
    mask = AttentionMask(4, 4, packing=Packing((3, 1, 2, 2), rows=2))
    mask.key_bias = paddle.to_tensor([[[0.0, 1.0, 2.0], [0.0, 3.0, 5.0]]])
    dense, block = mask.dense("cpu").numpy(), mask.block("cpu").numpy()
    assert dense.shape == (2, 2, 4, 4) and block.shape == (1, 2, 3, 3)
    assert dense[0, 1, 2].tolist() == [0.0, 3.0, 5.0, -np.inf]
    assert dense[0, 1, 3].tolist() == [-np.inf, -np.inf, -np.inf, 0.0]
    assert dense[1, 0, 3].tolist() == [-np.inf, -np.inf, 0.0, 1.0]
    assert block[0, 1].tolist() == dense[0, 1, :3, :3].tolist()


def test_users_own():
    booleans = paddle.to_tensor(np.tril(np.ones((1, 1, 3, 3), dtype=bool)))
    bias = bias_from_user(booleans)
    np.testing.assert_array_equal(bias.numpy()[0, 0] == 0, np.tril(np.ones((3, 3))) > 0)
    numbers = paddle.to_tensor(np.full((1, 1, 3, 3), -2.5, "float16"))
    assert bias_from_user(numbers).dtype == paddle.float32
    mask = AttentionMask(3, 3, bias=bias)
    assert mask.dense("cpu") is bias and not mask.blind and not mask.trivial
    assert AttentionMask(1, 2, bias=paddle.full([1, 1, 1, 2], -float("inf"))).blind
