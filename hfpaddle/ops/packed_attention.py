"""Attention within each of several samples that stand behind one another in a row."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from hfpaddle.core.op import op
from hfpaddle.ops.attention import Visibility, attention


@op
def packed_attention(
    q: paddle.Tensor,
    k: paddle.Tensor,
    v: paddle.Tensor,
    lengths: Sequence[int],
    bias: paddle.Tensor | None = None,
    *,
    scale: float,
    softcap: float | None = None,
    dropout: float = 0.0,
    mask: Visibility | None = None,
) -> paddle.Tensor:
    """`attention` of each sample alone; scores between samples are never computed.

    Args:
        q: ``[B, N, S, D]``, floating.
        k: ``[B, K, S, D]`` with ``N`` a multiple of ``K``.
        v: ``[B, K, S, E]``.
        lengths: of the samples, row after row; their sum is ``B * S``.
        bias: ``[1, 1 or N, M, M]`` float32 with ``M`` the longest sample; a sample of length ``L``
            gets the first ``L`` rows and columns. No row may be minus infinity throughout.
        mask: in place of ``bias``, with ``lengths`` as its packing.
        scale, softcap, dropout: see `attention`.
    Returns: ``[B, S, N, E]``, dtype of ``q``.
    Source: arXiv:2407.09105, section 3.
    """
    B, N, S, _ = q.shape
    if sum(lengths) != B * S:
        raise ValueError(
            f"packed_attention: the samples have {sum(lengths)} tokens, but "
            f"q.shape={list(q.shape)}."
        )
    if mask is not None:
        bias = mask.block(q.place)
    if B > 1:
        q, k, v = (t.transpose([1, 0, 2, 3]).flatten(1, 2).unsqueeze(0) for t in (q, k, v))
    # Samples of one length share one call. Slices of all are taken at once: the gradient of a
    # single slice would be as large as the whole.
    alike: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        alike.setdefault(length, []).append(i)
    parts = [paddle.split(t, list(lengths), axis=2) for t in (q, k, v)]
    outs: list[paddle.Tensor] = [q] * len(lengths)
    for length, members in alike.items():
        group = [p[members[0]] if len(members) == 1 else paddle.concat([p[i] for i in members])
                 for p in parts]  # fmt: skip
        own = None if bias is None else bias[:, :, :length, :length]
        out, _ = attention.reference(*group, own, scale=scale, softcap=softcap, dropout=dropout)
        rows = [out] if len(members) == 1 else out.split(len(members), axis=0)
        for i, row in zip(members, rows, strict=True):
            outs[i] = row
    return paddle.concat(outs, axis=1).reshape([B, S, N, v.shape[-1]])
