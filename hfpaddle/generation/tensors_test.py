import numpy as np
import paddle
import pytest

from hfpaddle.generation import tensors
from hfpaddle.ops.sampling import host_softmax

pytestmark = pytest.mark.unit
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 1024, 200_000])
def test_softmax_stays_exact_as_rows_grow(size):
    x = (RNG.standard_normal((2, size)) * 3).astype("float32")
    exact = x - x.max(-1, keepdims=True).astype("float64")
    exact = exact - np.log(np.exp(exact).sum(-1, keepdims=True))
    got = tensors.log_softmax(paddle.to_tensor(x)).numpy()
    np.testing.assert_allclose(got, exact, rtol=1e-6, atol=4e-6)
    got = tensors.softmax(paddle.to_tensor(x)).numpy()
    np.testing.assert_allclose(got, np.exp(exact), rtol=1e-5)
    np.testing.assert_allclose(host_softmax(paddle.to_tensor(x)), np.exp(exact), rtol=1e-5)


def test_entropy_ignores_what_is_impossible():
    x = paddle.to_tensor([[0.0, 0.0, -float("inf")], [-float("inf"), 5.0, -float("inf")]])
    np.testing.assert_allclose(tensors.entropy(x).numpy(), [[np.log(2)], [0.0]], atol=1e-6)


def test_token_ids_of_every_kind():
    assert tensors.token_ids(5).tolist() == [5]
    assert tensors.token_ids([5, 6]).dtype == paddle.int64
    assert tensors.token_ids(paddle.to_tensor(5)).tolist() == [5]
    assert tensors.is_floating(tensors.token_ids([1.5]))


def test_marks_and_membership():
    index = paddle.to_tensor([[0, 2], [1, 1]])
    on = paddle.to_tensor([[True, False], [True, True]])
    assert tensors.mark([2, 3], index, on).tolist() == [[True, False, False], [False, True, False]]
    found = tensors.isin(paddle.to_tensor([[1, 2], [3, 4]]), paddle.to_tensor([4, 1]))
    assert found.tolist() == [[True, False], [False, True]]


def test_hidden_tokens():
    hidden, scores = tensors.Hidden(), paddle.arange(10, dtype="float32").reshape([2, 5])
    before = scores.numpy()
    for ids, gone in [([1, 4], [1, 4]), ([1.0, 2.5, 9.0, -1.0], [1]), ([7], []), ([0], [0])]:
        want = before.copy()
        want[:, gone] = -np.inf
        for _ in range(2):
            got = hidden.hide(paddle.to_tensor(ids), scores)
            np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(scores, before)
