"""Normalisation over the last axis."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from hfpaddle.core.op import op


@op
def rms_norm(
    x: paddle.Tensor, weight: paddle.Tensor | None, eps: float = 1e-6, offset: float = 0.0
) -> paddle.Tensor:
    """Divide ``x`` by the root mean square of its last axis, then multiply by ``weight + offset``.

    Args:
        x: ``[..., H]``, floating.
        weight: ``[H]`` or None.
        eps: added to the mean square; same unit as ``x`` squared.
        offset: 1.0 for Gemma, whose weights are stored around zero.
    Returns: ``[..., H]``, dtype of ``x``.
    Source: arXiv:1910.07467, eq. 4. The weight is applied after rounding to ``x``'s dtype, as in
    Llama; with an offset before it, as in Gemma.
    """
    h = x.astype("float32")
    h = h * paddle.rsqrt(h.square().mean(axis=-1, keepdim=True) + eps)
    if weight is None:
        return h.astype(x.dtype)
    if offset:
        return (h * (weight.astype("float32") + offset)).astype(x.dtype)
    return h.astype(x.dtype) * weight.astype(x.dtype)


@op
def layer_norm(
    x: paddle.Tensor,
    weight: paddle.Tensor | None,
    bias: paddle.Tensor | None = None,
    eps: float = 1e-5,
) -> paddle.Tensor:
    """Normalise the last axis to mean 0 and variance 1, then scale and shift.

    Args:
        x: ``[..., H]``, floating.
        weight: ``[H]`` or None.
        bias: ``[H]`` or None.
        eps: added to the variance.
    Returns: ``[..., H]``, dtype of ``x``.
    Source: arXiv:1607.06450.
    """
    # Paddle 3.3.1 on the CPU takes a weight whose gradient nobody asks for (a frozen one, or with
    # `paddle.grad`) for 1 in the gradient of `x`: so it gets none.
    out = F.layer_norm(x, x.shape[-1:], epsilon=eps)
    if weight is not None:
        out = out * weight.astype(x.dtype)
    return out if bias is None else out + bias.astype(x.dtype)
