"""ModernBERT's pre-norm encoder block: gated MLP, norms without biases, no position table.

Source: arXiv:2412.13663.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.activations import activation
from hfpaddle.layers.basic import Dropout, Embedding, Linear
from hfpaddle.layers.state import ForwardState


class WordEmbeddings(nn.Layer):
    """Word embedding and norm."""

    def __init__(
        self, vocab_size: int, hidden_size: int, pad: int | None, norm: nn.Layer, dropout: float
    ) -> None:
        super().__init__()
        self.tok_embeddings = Embedding(vocab_size, hidden_size, pad)
        self.norm = norm
        self.drop = Dropout(dropout)

    def forward(
        self, input_ids_BS: paddle.Tensor | None, inputs_embeds_BSH: paddle.Tensor | None
    ) -> paddle.Tensor:
        x_BSH = inputs_embeds_BSH
        if x_BSH is None:
            x_BSH = self.tok_embeddings(input_ids_BS)
        return self.drop(self.norm(x_BSH))


class GatedDropoutMLP(nn.Layer):
    """``Wo(act(first half of Wi(x)) * second half)``."""

    def __init__(
        self, hidden_size: int, intermediate_size: int, act: str, bias: bool, dropout: float
    ) -> None:
        super().__init__()
        self.Wi = Linear(hidden_size, 2 * intermediate_size, bias)
        self.act = activation(act)
        self.drop = Dropout(dropout)
        self.Wo = Linear(intermediate_size, hidden_size, bias)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        x, gate = paddle.chunk(self.Wi(x_BSH), 2, axis=-1)
        return self.Wo(self.drop(ops.gated(x, gate, self.act)))


class PreNormBlock(nn.Layer):
    """Attention and MLP, each behind a norm; the first block's attention has none."""

    def __init__(
        self,
        attn: nn.Layer,
        mlp: nn.Layer,
        attn_norm: nn.Layer,
        mlp_norm: nn.Layer,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attn_norm, self.attn = attn_norm, attn
        self.mlp_norm, self.mlp = mlp_norm, mlp
        self.out_drop = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = x_BSH + self.out_drop(self.attn(self.attn_norm(x_BSH), state))
        return x_BSH + self.mlp(self.mlp_norm(x_BSH))


class PredictionHead(nn.Layer):
    """``norm(act(dense(x)))``."""

    def __init__(self, hidden_size: int, act: str, bias: bool, norm: nn.Layer) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size, bias)
        self.act = activation(act)
        self.norm = norm

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.act(self.dense(x)))
