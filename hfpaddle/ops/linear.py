"""Matrix product with a weight in the Hub's layout."""

from __future__ import annotations

import paddle

from hfpaddle.core.op import op


@op
def linear(
    x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None = None
) -> paddle.Tensor:
    """``x @ weight.T + bias``.

    Args:
        x: ``[..., I]``, floating.
        weight: ``[O, I]``; a dtype other than ``x``'s is a storage format, and is cast.
        bias: ``[O]`` or None.
    Returns: ``[..., O]``, dtype of ``x``.
    """
    if weight.dtype != x.dtype:
        weight = weight.astype(x.dtype)
    out = paddle.matmul(x, weight, transpose_y=True)
    if bias is None:
        return out
    return out + (bias if bias.dtype == x.dtype else bias.astype(x.dtype))
