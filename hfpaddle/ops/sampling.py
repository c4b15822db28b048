"""Cutting a distribution over words short, and drawing from it.

Shape letters: B rows, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from hfpaddle.core.op import op
from hfpaddle.core.rng import default_generator


@op
def keep_top_k(scores_BV: paddle.Tensor, top_k: int, value: float) -> paddle.Tensor:
    """Keep the ``top_k`` largest of each row and what ties with the last of them.

    Args:
        scores_BV: floating.
        top_k: 1 to V.
        value: what takes the place of the others.
    Returns: ``[B, V]``, a new tensor.
    """
    least_B1 = paddle.topk(scores_BV, top_k, axis=-1)[0][:, -1:]
    return _fill(scores_BV, scores_BV < least_B1, value)


@op
def keep_top_p(
    scores_BV: paddle.Tensor, top_p: float, value: float, least: int = 1
) -> paddle.Tensor:
    """Keep the likeliest words of each row, of which the others' shares add up to ``1 - top_p``.

    Args:
        scores_BV: floating; their softmax gives the shares.
        top_p: 0 to 1.
        value: what takes the place of the others.
        least: so many are kept in any case.
    Returns: ``[B, V]``, a new tensor.
    Source: arXiv:1904.09751.
    """
    order_BV = paddle.argsort(scores_BV, axis=-1)  # equal scores fall as in torch
    sorted_BV = paddle.take_along_axis(scores_BV, order_BV, axis=1, broadcast=False)
    # Paddle adds floats one after another, which costs digits over a large vocabulary.
    share_BV = F.softmax(sorted_BV, axis=-1).astype("float64")
    share_BV = share_BV / share_BV.sum(axis=-1, keepdim=True)
    remove_BV = paddle.cumsum(share_BV, axis=-1).astype("float32") <= 1 - top_p
    remove_BV[:, max(scores_BV.shape[-1] - least, 0) :] = False
    # put_along_axis has no boolean kernel.
    marked_BV = paddle.put_along_axis(
        paddle.zeros_like(order_BV), order_BV, remove_BV.astype("int64"), axis=1, broadcast=False
    )
    return _fill(scores_BV, marked_BV != 0, value)


def _fill(scores_BV: paddle.Tensor, mask_BV: paddle.Tensor, value: float) -> paddle.Tensor:
    return paddle.where(mask_BV, paddle.full_like(scores_BV, value), scores_BV)


@op
def draw(scores_BV: paddle.Tensor, count: int = 1) -> paddle.Tensor:
    """Draw ``count`` different words of each row from the softmax of its scores.

    Drawn on the host from the seeded default generator, so that a seed gives the same words on
    every device, and those of torch on a CPU.

    Returns: int64 ``[B, count]``.
    Raises: DistributionError if a row has NaN, or nothing to draw.
    """
    chosen = default_generator.multinomial(host_softmax(scores_BV), count)
    return paddle.to_tensor(chosen, place=scores_BV.place)


def host_softmax(scores: paddle.Tensor) -> np.ndarray:
    """Return float32 probabilities on the host, where they are drawn from."""
    s = scores.astype("float32").numpy()
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
