"""What the chosen experts of a mixture make of each token.

Shape letters: T tokens, H hidden, k experts a token.
"""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.op import op


@op
def experts(
    x_TH: paddle.Tensor, weights_Tk: paddle.Tensor, index_Tk: paddle.Tensor, layers: Any
) -> paddle.Tensor:
    """``sum_k weights[t, k] * layers[index[t, k]](x[t])``.

    Only experts that some token chose are run, each once. The products are taken in the dtype of
    the weights.

    Args:
        x_TH: floating.
        weights_Tk: floating.
        index_Tk: int64, within the layers.
        layers: a `LayerList` of maps from ``[n, H]`` to ``[n, H]``.
    Returns: ``[T, H]``, dtype of ``x``.
    Source: arXiv:1701.06538, equation 1.
    """
    T, k = index_Tk.shape
    choices = index_Tk.flatten()
    # Rows sorted by expert, so that each expert sees one slice; `back` undoes the sorting.
    order = paddle.argsort(choices, stable=True)
    back = paddle.argsort(order)
    counts: Any = paddle.bincount(choices, minlength=len(layers)).tolist()
    sorted_xH = paddle.index_select(x_TH, order // k, axis=0)
    # One split, not a slice an expert: the gradient of a slice is zeros as large as the whole.
    slices = paddle.split(sorted_xH, [count for count in counts if count])
    chosen = (expert for expert, count in zip(layers, counts, strict=True) if count)
    parts = [expert(x_nH) for expert, x_nH in zip(chosen, slices, strict=True)]
    out_TkH = paddle.index_select(paddle.concat(parts), back, axis=0).reshape([T, k, -1])
    weighted = out_TkH.astype(weights_Tk.dtype) * weights_Tk.unsqueeze(-1)
    return weighted.astype(x_TH.dtype).sum(axis=1)
