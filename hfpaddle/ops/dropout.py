"""Dropout whose mask a seeded script on torch would draw."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from hfpaddle.core import rng
from hfpaddle.core.op import op


@op
def dropout(x: paddle.Tensor, p: float, training: bool = True) -> paddle.Tensor:
    """Zero elements of ``x`` with probability ``p`` and divide the others by ``1 - p``.

    On the CPU the mask comes from the stream that `hfpaddle.core.rng` shares with scripts, so the
    losses of a seeded run are torch's; other devices draw from Paddle's own.

    Args:
        x: any shape, floating.
        p: in [0, 1]. Nothing is drawn for 0.
        training: return ``x`` itself if false.
    Returns: shape and dtype of ``x``.
    Raises: DistributionError for another ``p``.
    Source: torch's ``at::native::dropout``: Bernoulli noise, divided by ``1 - p``, times ``x``.
    """
    if not training or p == 0:
        return x
    if not x.place.is_cpu_place():
        return F.dropout(x, p)
    keep = rng.default_generator.dropout_mask(tuple(x.shape), p)
    if p == 1:
        return x * 0.0
    wide = np.float64 if x.dtype == paddle.float64 else np.float32
    noise = paddle.to_tensor(keep.astype(wide) / wide(1 - p), place=x.place)
    return paddle.multiply(x, noise.astype(x.dtype))
