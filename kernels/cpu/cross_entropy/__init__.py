"""Cross entropy that reads the logits once each way; see cross_entropy.cpp."""

from __future__ import annotations

from ctypes import c_int64, c_void_p
from typing import Any

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.library import function
from hfpaddle.kernels.cpu.memory import empty, empty_like
from hfpaddle.ops.cross_entropy import divided, summed

Tensor = paddle.Tensor

_forward = function("hf_cross_entropy", *[c_void_p] * 5, c_int64, c_int64)
_backward = function("hf_cross_entropy_backward", *[c_void_p] * 6, c_int64, c_int64)


class RowLosses(paddle.autograd.PyLayer):
    """Each row's loss, 0 where the label is negative. Keeps the logits and two numbers a row."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        rows, size = logits.shape
        losses, tops, totals = (empty([rows]) for _ in range(3))
        _forward(logits.data_ptr(), labels.data_ptr(), losses.data_ptr(), tops.data_ptr(),
                 totals.data_ptr(), rows, size)  # fmt: skip
        ctx.save_for_backward(logits, labels, tops, totals)
        return losses

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        logits, labels, tops, totals = ctx.saved_tensor()
        rows, size = logits.shape
        if paddle.is_grad_enabled():  # a second derivative is wanted
            counts = (labels >= 0).astype("float32").unsqueeze(-1)
            exponentials = paddle.exp(logits - tops.unsqueeze(-1)) * counts
            chosen = paddle.nn.functional.one_hot(labels.clip(min=0), size) * counts
            shares = exponentials / (summed(exponentials) + (1.0 - counts))
            return (shares - chosen) * g.unsqueeze(-1), None
        g = g.contiguous()
        out = empty_like(logits)
        _backward(logits.data_ptr(), labels.data_ptr(), tops.data_ptr(), totals.data_ptr(),
                  g.data_ptr(), out.data_ptr(), rows, size)  # fmt: skip
        return out, None


def fits(logits: Tensor, labels: Tensor, ignore_index: int = -100, num_items: Any = None) -> bool:
    """Whether there are rows, and every label that counts names a column of the logits."""
    if logits.ndim != 2 or logits.size == 0 or labels.shape != logits.shape[:1]:
        return False
    if not labels.place.is_cpu_place():  # they are the caller's
        return False
    values = labels.numpy()
    wrong = (values < 0) | (values >= logits.shape[1])
    return not (wrong & (values != ignore_index)).any()


@implements(ops.cross_entropy, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=fits,
            rtol={"float32": 1e-5})  # fmt: skip
def cross_entropy_cpu(
    logits: Tensor, labels: Tensor, ignore_index: int = -100, num_items: Any = None
) -> Tensor:
    keep, labels = labels != ignore_index, labels.astype("int64")
    labels = paddle.where(keep, labels, paddle.full_like(labels, -1))
    return divided(RowLosses.apply(logits.contiguous(), labels).sum(), keep, num_items)
