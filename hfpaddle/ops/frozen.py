"""Products with a frozen weight that is stored in another form than the one to compute in.

Autograd would keep the computed form of every weight from the forward pass to the backward pass,
which for bfloat16 is three times the weights' own memory. Here it is made anew, in pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle

MOST_ITEMS = 1 << 23  # of a piece: 32 MB of float32

Piece = Callable[[int, int], paddle.Tensor]


class _Product(paddle.autograd.PyLayer):
    @staticmethod
    def forward(
        ctx: Any, x: paddle.Tensor, forward: Callable[[paddle.Tensor], paddle.Tensor], piece: Piece
    ) -> paddle.Tensor:
        ctx.piece, ctx.width = piece, x.shape[-1]
        return forward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: paddle.Tensor) -> paddle.Tensor:
        (gradient,) = gradients
        rows = gradient.shape[-1]
        step = max(1, MOST_ITEMS // ctx.width)
        total = None
        for begin in range(0, rows, step):
            end = min(begin + step, rows)
            part = gradient if end - begin == rows else gradient[..., begin:end]
            more = paddle.matmul(part, ctx.piece(begin, end))
            total = more if total is None else total.add_(more)
        assert total is not None
        return total


def frozen_product(
    x: paddle.Tensor, forward: Callable[[paddle.Tensor], paddle.Tensor], piece: Piece
) -> paddle.Tensor:
    """Return ``forward(x)``, which is ``x @ W.T`` without gradients, with the gradient of ``x``.

    Args:
        x: ``[..., I]``, floating; the gradient has its dtype.
        forward: computes ``[..., O]``.
        piece: rows ``begin`` to ``end`` of ``W`` ``[O, I]`` in the dtype of ``x``.
    """
    return _Product.apply(x, forward, piece)
