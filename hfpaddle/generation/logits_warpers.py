"""Processors that shape the distribution to sample from.

Each keeps at least ``min_tokens_to_keep`` tokens and sets the rest to ``filter_value``. The order
of operations is the original's, so that the same tokens survive.
"""

from __future__ import annotations

import numpy as np
import paddle

from hfpaddle import ops
from hfpaddle.generation.logits_base import LogitsProcessor, positive_int
from hfpaddle.generation.tensors import (
    NEG_INF,
    cumulative,
    entropy,
    fill,
    gather,
    log_softmax,
    mark,
    softmax,
    topk,
)


def _cutoff(name: str, value: float) -> float:
    value = float(value)
    if not 0 < value < 1:
        raise ValueError(f"`{name}` has to be a float > 0 and < 1, but is {value}")
    return value


class TemperatureLogitsWarper(LogitsProcessor):
    """Divides the scores: below 1 sharper, above 1 flatter."""

    supports_continuous_batching = True

    def __init__(self, temperature: float):
        if not isinstance(temperature, float) or not temperature > 0:
            message = (
                f"`temperature` (={temperature}) has to be a strictly positive float, otherwise "
                f"your next token scores will be invalid."
            )
            if isinstance(temperature, float) and temperature == 0.0:
                message += " If you're looking for greedy decoding, set `do_sample=False`."
            raise ValueError(message)
        self.temperature = temperature

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        return scores / self.temperature


class TopPLogitsWarper(LogitsProcessor):
    """Keeps the likeliest tokens whose probabilities add up to ``top_p`` (arXiv:1904.09751)."""

    supports_continuous_batching = True

    def __init__(self, top_p: float, filter_value: float = NEG_INF, min_tokens_to_keep: int = 1):
        top_p = float(top_p)
        if top_p < 0 or top_p > 1.0:
            raise ValueError(f"`top_p` has to be a float > 0 and < 1, but is {top_p}")
        self.top_p, self.filter_value = top_p, filter_value
        self.min_tokens_to_keep = positive_int("min_tokens_to_keep", min_tokens_to_keep)

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        return ops.keep_top_p(scores, self.top_p, self.filter_value, self.min_tokens_to_keep)


class TopKLogitsWarper(LogitsProcessor):
    """Keeps the ``top_k`` likeliest tokens, and those that tie with the last of them."""

    supports_continuous_batching = True

    def __init__(self, top_k: int, filter_value: float = NEG_INF, min_tokens_to_keep: int = 1):
        self.top_k = max(positive_int("top_k", top_k), min_tokens_to_keep)
        self.filter_value, self.min_tokens_to_keep = filter_value, min_tokens_to_keep

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        return ops.keep_top_k(scores, min(self.top_k, scores.shape[-1]), self.filter_value)


class TopHLogitsWarper(LogitsProcessor):
    """Keeps likely tokens while their entropy stays below a share of the top 100's.

    Source: arXiv:2509.02510.
    """

    def __init__(self, top_h: float, filter_value: float = NEG_INF):
        if not 0 < top_h <= 1:
            raise ValueError("`top_h` must be in the range (0, 1].")
        self.top_n, self.top_h, self.filter_value = 100, top_h, filter_value

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        top, order = topk(scores, min(self.top_n, scores.shape[-1]))
        probs = softmax(top)
        limit = entropy(top) * self.top_h
        keep = cumulative(-probs * paddle.log(probs)) <= limit
        keep[:, 0] = True
        return fill(scores, ~mark(scores.shape, order, keep), self.filter_value)


class MinPLogitsWarper(LogitsProcessor):
    """Keeps tokens at least ``min_p`` times as likely as the likeliest (arXiv:2407.01082)."""

    def __init__(self, min_p: float, filter_value: float = NEG_INF, min_tokens_to_keep: int = 1):
        if not 0 <= min_p <= 1.0:
            raise ValueError(f"`min_p` has to be a float in the [0, 1] interval, but is {min_p}")
        self.min_p, self.filter_value = min_p, filter_value
        self.min_tokens_to_keep = positive_int("min_tokens_to_keep", min_tokens_to_keep)

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        probs = softmax(scores)
        remove = probs < self.min_p * paddle.max(probs, axis=-1, keepdim=True)
        _, best = topk(probs, min(self.min_tokens_to_keep, probs.shape[-1]))
        kept = mark(scores.shape, best, paddle.ones_like(best))
        return fill(scores, paddle.logical_and(remove, ~kept), self.filter_value)


class TypicalLogitsWarper(LogitsProcessor):
    """Keeps tokens whose information is near the expected one (arXiv:2202.00666)."""

    def __init__(
        self, mass: float = 0.9, filter_value: float = NEG_INF, min_tokens_to_keep: int = 1
    ):
        self.mass, self.filter_value = _cutoff("typical_p", mass), filter_value
        self.min_tokens_to_keep = positive_int("min_tokens_to_keep", min_tokens_to_keep)

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        log_p = log_softmax(scores)
        distance = paddle.abs(-log_p - entropy(scores))
        order = paddle.argsort(distance, axis=-1)
        distance = gather(distance, order)
        inside = cumulative(softmax(gather(scores, order))) < self.mass
        last = paddle.sum(inside.astype("int64"), axis=1, keepdim=True)
        last = paddle.clip(last, max=scores.shape[-1] - 1)
        remove = distance > gather(distance, last)
        remove[:, : self.min_tokens_to_keep] = False
        return fill(scores, mark(scores.shape, order, remove), self.filter_value)


class EpsilonLogitsWarper(LogitsProcessor):
    """Keeps tokens of probability at least ``epsilon`` (arXiv:2210.15191)."""

    def __init__(self, epsilon: float, filter_value: float = NEG_INF, min_tokens_to_keep: int = 1):
        self.epsilon, self.filter_value = _cutoff("epsilon_cutoff", epsilon), filter_value
        self.min_tokens_to_keep = positive_int("min_tokens_to_keep", int(min_tokens_to_keep))

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        return _drop_unlikely(self, scores, softmax(scores) < self.epsilon)


class EtaLogitsWarper(LogitsProcessor):
    """Keeps tokens above a cutoff that falls with the entropy (arXiv:2210.15191)."""

    def __init__(
        self,
        epsilon: float,
        filter_value: float = NEG_INF,
        min_tokens_to_keep: int = 1,
        device: str = "cpu",
    ):
        self.epsilon, self.filter_value = _cutoff("eta_cutoff", epsilon), filter_value
        self.min_tokens_to_keep = positive_int("min_tokens_to_keep", int(min_tokens_to_keep))

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        root = float(np.sqrt(np.float32(self.epsilon)))
        eta = paddle.clip(root * paddle.exp(-entropy(scores)), max=self.epsilon)
        return _drop_unlikely(self, scores, softmax(scores) < eta)


def _drop_unlikely(
    warper: EpsilonLogitsWarper | EtaLogitsWarper, scores: paddle.Tensor, unlikely: paddle.Tensor
) -> paddle.Tensor:
    least = topk(scores, min(warper.min_tokens_to_keep, scores.shape[-1]))[0][:, -1:]
    return fill(scores, paddle.logical_and(unlikely, scores < least), warper.filter_value)
