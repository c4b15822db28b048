"""Parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import paddle


def parameters_to_vector(parameters: Iterable[paddle.Tensor]) -> paddle.Tensor:
    """All items in one vector."""
    return paddle.concat([paddle.reshape(p, [-1]) for p in parameters])


def vector_to_parameters(vec: paddle.Tensor, parameters: Iterable[paddle.Tensor]) -> None:
    """Write the items of the vector back."""
    start = 0
    with paddle.no_grad():
        for p in parameters:
            count = math.prod(p.shape)
            part = paddle.slice(vec, [0], [start], [start + count])
            paddle.assign(paddle.reshape(part, list(p.shape)), output=p)
            start += count
