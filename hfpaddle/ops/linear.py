"""Matrix product with a weight in the Hub's layout."""

from __future__ import annotations

import paddle

from hfpaddle.core.op import op
from hfpaddle.ops.frozen import frozen_product


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
    stored = weight.dtype != x.dtype
    if stored and paddle.is_grad_enabled() and weight.stop_gradient and not x.stop_gradient:
        dtype = x.dtype  # to hold x itself would keep it until the backward pass
        out = frozen_product(
            x,
            lambda x: linear(x, weight),
            lambda begin, end: weight[begin:end].astype(dtype),
        )
    else:
        out = paddle.matmul(x, weight.astype(x.dtype) if stored else weight, transpose_y=True)
    if bias is None:
        return out
    return out + (bias if bias.dtype == x.dtype else bias.astype(x.dtype))
