"""Log-probabilities of labels, and statistics of the distributions, from a model's logits.

A few rows of logits are looked at at a time, so nothing as large as the logits is made in the
forward pass, and only their gradient in the backward pass. Paddle's own log_softmax is not used: on
a CPU it takes 0.25 s for a row of 32,000 words, and 10 s for one of 262,144 (3.3.1).

Shape letters: M positions, N of them with a label, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.ops.cross_entropy import summed

CELLS = 2**22  # logits that are looked at at a time


class LabelLogProbs(paddle.autograd.PyLayer):
    """``[N]`` float32 log-probabilities of ``labels_N`` at the rows ``at_N`` of ``logits_MV``.

    ``statistics``, unless None, is a list that receives entropy, hits, mean logits and log-sum of
    squared probabilities, each ``[N]`` float32 without gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits_MV: paddle.Tensor,
        at_N: paddle.Tensor,
        labels_N: paddle.Tensor,
        statistics: list | None,
    ) -> paddle.Tensor:
        ctx.save_for_backward(logits_MV, at_N, labels_N)
        log_probs, parts = [], []
        for start, stop in _spans(at_N.shape[0], logits_MV.shape[-1]):
            labels = labels_N[start:stop]
            logits = paddle.gather(logits_MV, at_N[start:stop]).astype("float32")
            shifted = logits - logits.max(axis=-1, keepdim=True)
            powers = paddle.exp(shifted)
            total = summed(powers)
            log_total = paddle.log(total)
            log_prob = paddle.index_sample(shifted, labels.unsqueeze(-1)) - log_total
            log_probs.append(log_prob.squeeze(-1))
            if statistics is not None:
                hits = (logits.argmax(axis=-1) == labels).astype("float32").unsqueeze(-1)
                entropy = log_total - summed(powers * shifted) / total
                squares = paddle.log(summed(powers * powers)) - 2.0 * log_total
                parts.append([entropy, hits, summed(logits) / logits.shape[-1], squares])
        if statistics is not None:
            columns = zip(*parts, strict=True)
            statistics.extend(paddle.concat(list(column)).squeeze(-1) for column in columns)
        return paddle.concat(log_probs)

    @staticmethod
    def backward(ctx: Any, g_N: paddle.Tensor) -> paddle.Tensor:
        logits_MV, at_N, labels_N = ctx.saved_tensor()
        out_MV = paddle.zeros_like(logits_MV)
        for start, stop in _spans(at_N.shape[0], logits_MV.shape[-1]):
            at, labels = at_N[start:stop], labels_N[start:stop]
            g = g_N[start:stop].unsqueeze(-1)
            logits = paddle.gather(logits_MV, at).astype("float32")
            powers = paddle.exp(logits - logits.max(axis=-1, keepdim=True))
            change = powers * (-g / summed(powers))
            rows = paddle.arange(stop - start).to(labels.place)
            change.index_put_((rows, labels), g.squeeze(-1), accumulate=True)
            paddle.scatter_(out_MV, at, change.astype(out_MV.dtype))
        return out_MV


def _spans(count: int, width: int) -> list[tuple[int, int]]:
    step = max(CELLS // width, 1)
    return [(start, min(start + step, count)) for start in range(0, count, step)]
