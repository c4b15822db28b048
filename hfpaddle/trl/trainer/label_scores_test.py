"""Scores of labels against their definition in float64, and what they cost."""

from __future__ import annotations

import time

import numpy as np
import paddle
import pytest

from hfpaddle.trl.trainer import label_scores
from hfpaddle.trl.trainer.label_scores import LabelLogProbs

pytestmark = pytest.mark.unit


def expected(logits, labels):
    """Each statistic by definition, and the log-probability's gradient."""
    x = logits.astype("float64")
    logs = x - x.max(axis=-1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=-1, keepdims=True))
    p, rows = np.exp(logs), np.arange(len(labels))
    gradient = -p
    gradient[rows, labels] += 1
    statistics = [
        -(p * logs).sum(axis=-1),
        x.argmax(axis=-1) == labels,
        x.mean(axis=-1),
        np.log((p * p).sum(axis=-1)),
    ]
    return logs[rows, labels], statistics, gradient


@pytest.mark.parametrize("spread", [1.0, 40.0, 300.0])
@pytest.mark.parametrize("cells", [1, 200, 2**22])
def test_values_and_gradient(spread, cells, monkeypatch):
    monkeypatch.setattr(label_scores, "CELLS", cells)
    random = np.random.default_rng(0)
    logits = (spread * random.normal(size=(9, 67))).astype("float32")
    at, labels = np.array([0, 2, 3, 7]), np.array([5, 66, 0, 5])
    labels[1] = logits[2].argmax()
    weights = random.normal(size=4).astype("float32")
    x = paddle.to_tensor(logits, stop_gradient=False)
    found: list = []
    got = LabelLogProbs.apply(x, paddle.to_tensor(at), paddle.to_tensor(labels), found)
    (got * paddle.to_tensor(weights)).sum().backward()
    log_probs, statistics, gradient = expected(logits[at], labels)
    np.testing.assert_allclose(got.numpy(), log_probs, rtol=2e-6, atol=2e-6)
    for have, want in zip(found, statistics, strict=True):
        assert have.stop_gradient
        np.testing.assert_allclose(have.numpy(), want, rtol=1e-5, atol=1e-5)
    whole = np.zeros_like(logits)
    whole[at] = gradient * weights[:, None]
    np.testing.assert_allclose(x.grad.numpy(), whole, rtol=1e-5, atol=1e-6)


def test_large_vocabularies_take_milliseconds():
    """With Paddle's log_softmax this would take minutes."""
    x = paddle.randn([64, 49152])
    x.stop_gradient = False
    rows = paddle.arange(64)
    begin = time.perf_counter()
    LabelLogProbs.apply(x, rows, rows, []).sum().backward()
    assert time.perf_counter() - begin < 5.0
