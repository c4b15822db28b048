"""Packed attention against each sample alone: values and gradients."""

import numpy as np
import paddle
import pytest

from hfpaddle import ops

pytestmark = pytest.mark.unit

CASES = {
    "unlike": (1, (3, 1, 7)),
    "alike": (1, (4, 2, 4, 4, 2)),
    "rows": (2, (5, 3, 8)),
}


def leaf(random, *shape):
    return paddle.to_tensor(random.standard_normal(shape), "float32", stop_gradient=False)


@pytest.mark.parametrize("impl", [ops.packed_attention.reference])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("case", CASES)
def test_each_sample_alone(impl, case, softcap):
    rows, lengths = CASES[case]
    random = np.random.default_rng(0)
    S, M = sum(lengths) // rows, max(lengths)
    q, k, v = leaf(random, rows, 4, S, 6), leaf(random, rows, 2, S, 6), leaf(random, rows, 2, S, 5)
    bias = np.where(np.tri(M), random.standard_normal([1, 4, M, M]), -np.inf)
    bias = paddle.to_tensor(bias, "float32")
    rest = {"scale": 0.4, "softcap": softcap}
    flat = [t.transpose([1, 0, 2, 3]).flatten(1, 2).unsqueeze(0) for t in (q, k, v)]
    bounds, alone = np.cumsum([0, *lengths]).tolist(), []
    for a, b in zip(bounds[:-1], bounds[1:], strict=True):
        own = [t[:, :, a:b] for t in flat]
        alone.append(ops.attention(*own, bias[:, :, : b - a, : b - a], **rest)[0])
    want = paddle.concat(alone, axis=1).reshape([rows, S, 4, 5])
    got = impl(q, k, v, lengths, bias, **rest)
    np.testing.assert_allclose(got, want, atol=1e-6)
    weight = leaf(random, *want.shape).detach()
    pairs = zip(
        paddle.grad((got * weight).sum(), [q, k, v]),
        paddle.grad((want * weight).sum(), [q, k, v]),
        strict=True,
    )
    for actual, expected in pairs:
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_lengths_must_cover_the_tokens():
    x = paddle.zeros([1, 2, 5, 4])
    with pytest.raises(ValueError, match=r"3 tokens, but q.shape=\[1, 2, 5, 4\]"):
        ops.packed_attention(x, x, x, (2, 1), scale=1.0)
