"""Layers with a weight in the Hub's layout and names.

Shape letters: B batch, S sequence, H hidden, I in, O out, V vocabulary.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.backends import compute_dtype
from hfpaddle.core.errors import IdRangeError
from hfpaddle.layers.parameter import normal, parameter


class Linear(nn.Layer):
    """``y = x @ weight.T + bias`` with ``weight`` ``[out_features, in_features]``."""

    first_draws = {"weight": "uniform", "bias": "uniform"}

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = parameter([out_features, in_features], normal(0.02))
        self.bias = parameter([out_features]) if bias else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Conv1D(nn.Layer):
    """GPT-2's linear layer: ``weight`` is ``[in, out]``, as its checkpoints store it."""

    first_draws = {"weight": "normal"}

    def __init__(self, out_features: int, in_features: int) -> None:
        super().__init__()
        self.nx, self.nf = in_features, out_features
        self.weight = parameter([in_features, out_features], normal(0.02))
        self.bias = parameter([out_features])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.matmul(x, self.weight.astype(x.dtype)) + self.bias.astype(x.dtype)

    def extra_repr(self) -> str:
        return f"nf={self.nf}, nx={self.nx}"


def check_ids(ids: paddle.Tensor, rows: int) -> None:
    """Refuse ids that are no row of a table: of negative ones Paddle reads what lies before it.

    Only on the CPU: elsewhere the look would wait for the device.

    Raises: IdRangeError.
    """
    if not paddle.in_dynamic_mode() or not ids.place.is_cpu_place() or 0 in ids.shape:
        return
    values = ids.numpy()
    if values.dtype.kind != "i":
        return  # the look-up itself says what is wrong
    if values.view(f"u{values.itemsize}").max() >= rows:  # as unsigned, negative ids are large
        wrong = values.min() if values.min() < 0 else values.max()
        raise IdRangeError(
            f"index out of range in self: id {wrong}, but the table has {rows} rows (allowed: 0 to "
            f"{rows - 1}). Compare the tokenizer with the model; tables grow by "
            "resize_token_embeddings, and longer texts than there are positions must be truncated."
        )


class Embedding(nn.Layer):
    """Table of ``num_embeddings`` rows. The result has the dtype that the device computes in.

    Args:
        padding_idx: row that receives no gradient.
        scale: multiplies the result, rounded to the table's dtype first (Gemma).

    On the CPU an id outside the table raises IdRangeError.
    """

    first_draws = {"weight": "normal"}

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx, self.scale = padding_idx, scale
        self.weight = parameter([num_embeddings, embedding_dim], normal(0.02))

    def forward(self, ids_BS: paddle.Tensor) -> paddle.Tensor:
        check_ids(ids_BS, self.weight.shape[0])
        x_BSH = F.embedding(ids_BS, self.weight)
        compute = x_BSH.dtype
        if compute != paddle.float32:
            compute = compute_dtype(self.weight.dtype, self.weight.place)
            x_BSH = x_BSH if x_BSH.dtype == compute else x_BSH.astype(compute)
        if self.padding_idx is not None and not x_BSH.stop_gradient:
            # Paddle would also return zeros for that row; torch returns the row and stops its
            # gradient alone.
            pad = (ids_BS == self.padding_idx).unsqueeze(-1)
            x_BSH = paddle.where(pad, x_BSH.detach(), x_BSH)
        if self.scale is None:
            return x_BSH
        scale = paddle.to_tensor(self.scale, dtype="float32").astype(self.weight.dtype)
        return x_BSH * scale.astype(compute)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, padding_idx={self.padding_idx}"


class RMSNorm(nn.Layer):
    """Root-mean-square norm; ``offset=1.0`` for weights stored around zero (Gemma)."""

    def __init__(self, size: int, eps: float = 1e-6, offset: float = 0.0) -> None:
        super().__init__()
        self.size, self.eps, self.offset = size, eps, offset
        self.weight = parameter([size], 1.0 - offset)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return ops.rms_norm(x, self.weight, self.eps, self.offset)

    def extra_repr(self) -> str:
        return f"({self.size},), eps={self.eps}"


class LayerNorm(nn.Layer):
    """Layer norm with optional weight and bias."""

    def __init__(
        self, size: int, eps: float = 1e-5, bias: bool = True, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        self.size, self.eps = size, eps
        self.weight = parameter([size], 1.0) if elementwise_affine else None
        self.bias = parameter([size]) if bias and elementwise_affine else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return ops.layer_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"({self.size},), eps={self.eps}"


class Dropout(nn.Layer):
    """Zero elements with probability ``p`` while training."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return ops.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
