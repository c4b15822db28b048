"""Cross entropy of integer labels, averaged over the labels that count."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.op import implements, op

# Rows that do not count are left out of the work where they are more than this part of all.
FEW = 0.1


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
    # logits at 64 below the largest, so that no loss exceeds 64: sum and divide here.
    keep = labels != ignore_index
    safe = paddle.where(keep, labels, paddle.zeros_like(labels)).astype("int64")
    losses = row_losses(logits, safe)
    # An infinite loss of a row that does not count must not become NaN.
    total = paddle.where(keep, losses, paddle.zeros_like(losses)).sum()
    return divided(total, keep, num_items)


def divided(total: paddle.Tensor, keep: paddle.Tensor, num_items: Any) -> paddle.Tensor:
    if num_items is None:
        return total / keep.astype("float32").sum()
    count = num_items.astype("float32") if isinstance(num_items, paddle.Tensor) else num_items
    return total / count


def row_losses(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Return each row's negative log-likelihood, float32 ``[N]``."""
    logits = logits.astype("float32")
    shifted = logits - logits.detach().max(axis=-1, keepdim=True)
    losses = paddle.log(summed(paddle.exp(shifted)))
    return (losses - paddle.index_sample(shifted, labels.unsqueeze(-1))).squeeze(-1)


def summed(x: paddle.Tensor) -> paddle.Tensor:
    """Sum the last axis. The product with ones adds up blockwise; a plain sum loses four digits
    over 262,144 words."""
    return paddle.matmul(x, paddle.ones([x.shape[-1], 1], dtype=x.dtype).to(x.place))


class RowLosses(paddle.autograd.PyLayer):
    """`row_losses` that goes over the logits a third as often, and keeps one copy of them."""

    @staticmethod
    def forward(ctx: Any, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        shifted = logits - logits.max(axis=-1, keepdim=True)
        at = paddle.stack([paddle.arange(labels.shape[0]).to(labels.place), labels], axis=1)
        picked = paddle.gather_nd(shifted, at)
        shifted.exp_()
        total = summed(shifted)
        ctx.save_for_backward(logits, labels, shifted, total)
        return paddle.log(total).squeeze(-1) - picked

    @staticmethod
    def backward(ctx: Any, g: paddle.Tensor) -> tuple[paddle.Tensor, None]:
        logits, labels, exponentials, total = ctx.saved_tensor()
        if paddle.is_grad_enabled():  # a second derivative is wanted: it goes through the logits
            exponentials = paddle.exp(logits - logits.detach().max(axis=-1, keepdim=True))
            chosen = paddle.nn.functional.one_hot(labels, logits.shape[-1])
            return (exponentials / summed(exponentials) - chosen) * g.unsqueeze(-1), None
        out = exponentials * (g.unsqueeze(-1) / total)
        rows = paddle.arange(labels.shape[0]).to(labels.place)
        out.index_put_((rows, labels), -g, accumulate=True)
        return out, None


@implements(
    cross_entropy, name="paddle", devices=("cpu",), dtypes=("float32",), rtol={"float32": 1e-6}
)
def cross_entropy_paddle(
    logits: paddle.Tensor,
    labels: paddle.Tensor,
    ignore_index: int = -100,
    num_items: paddle.Tensor | int | None = None,
) -> paddle.Tensor:
    """Rows that do not count are not computed where they are many."""
    keep = labels != ignore_index
    rows = paddle.nonzero(keep).flatten()
    if rows.shape[0] == 0:
        return cross_entropy.reference(logits, labels, ignore_index, num_items)
    if rows.shape[0] < (1 - FEW) * labels.shape[0]:
        kept = paddle.gather(logits, rows), paddle.gather(labels, rows).astype("int64")
        return divided(RowLosses.apply(*kept).sum(), keep, num_items)
    safe = paddle.where(keep, labels, paddle.zeros_like(labels)).astype("int64")
    losses = RowLosses.apply(logits, safe)
    return divided(paddle.where(keep, losses, paddle.zeros_like(losses)).sum(), keep, num_items)
