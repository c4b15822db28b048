"""Cross entropy of integer labels, averaged over the labels that count."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from hfpaddle.core.op import op


@op
def cross_entropy(
    logits: paddle.Tensor,
    labels: paddle.Tensor,
    ignore_index: int = -100,
    num_items: paddle.Tensor | int | None = None,
) -> paddle.Tensor:
    """Mean negative log-likelihood of ``labels``; float32 scalar.

    Args:
        logits: ``[N, C]``, floating.
        labels: ``[N]``, integer; rows equal to ``ignore_index`` do not count.
        num_items: divide the sum by this instead of by the number of counted rows.
    Returns: scalar; NaN when nothing counts and ``num_items`` is None, as torch gives.
    """
    # Paddle's own mean divides by all rows when ignore_index is negative: sum and divide here.
    keep = labels != ignore_index
    safe = paddle.where(keep, labels, paddle.zeros_like(labels)).astype("int64")
    losses = F.cross_entropy(logits.astype("float32"), safe, reduction="none").reshape([-1])
    weight = keep.astype("float32").reshape([-1])
    total = (losses * weight).sum()
    if num_items is None:
        return total / weight.sum()
    count = num_items.astype("float32") if isinstance(num_items, paddle.Tensor) else num_items
    return total / count
