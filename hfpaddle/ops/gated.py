"""The gate of a feed-forward block."""

from __future__ import annotations

from collections.abc import Callable

import paddle

from hfpaddle.core.op import op


@op
def gated(
    gate: paddle.Tensor, up: paddle.Tensor, act: Callable[[paddle.Tensor], paddle.Tensor]
) -> paddle.Tensor:
    """``act(gate) * up``.

    Args:
        gate, up: ``[..., I]``, floating, one dtype.
        act: elementwise.
    Returns: ``[..., I]``, dtype of ``gate``.
    Source: arXiv:2002.05202.
    """
    return act(gate) * up
