"""Cross entropy of integer labels, averaged over the labels that count."""

from __future__ import annotations

import paddle

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
    # Paddle's own mean divides by all rows when ignore_index is negative, and its softmax cuts
    # logits at 64 below the largest, so that no loss exceeds 64: sum and divide here. The product
    # with ones adds up blockwise; a plain sum loses four digits over 262,144 words.
    keep = labels != ignore_index
    safe = paddle.where(keep, labels, paddle.zeros_like(labels)).astype("int64").unsqueeze(-1)
    logits = logits.astype("float32")
    shifted = logits - logits.detach().max(axis=-1, keepdim=True)
    ones = paddle.ones([shifted.shape[-1], 1], dtype="float32").to(shifted.place)
    losses = paddle.log(paddle.matmul(paddle.exp(shifted), ones))
    losses = (losses - paddle.index_sample(shifted, safe)).squeeze(-1)
    weight = keep.astype("float32")
    # An infinite loss of a row that does not count must not become NaN.
    total = paddle.where(keep, losses, paddle.zeros_like(losses)).sum()
    if num_items is None:
        return total / weight.sum()
    count = num_items.astype("float32") if isinstance(num_items, paddle.Tensor) else num_items
    return total / count
