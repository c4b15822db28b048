"""DeBERTa's parts: attention scores content and relative position apart.

Source: arXiv:2006.03654, section 3; log-wide buckets and the convolution: its version 2 code.
Shape letters: B batch, S sequence, H hidden, N heads, D head size, R relative positions,
E embedding, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers.activations import activation
from hfpaddle.layers.basic import Dropout, LayerNorm, Linear
from hfpaddle.layers.parameter import parameter
from hfpaddle.layers.post_norm import EncoderEmbeddings, PostNormBlock, split_heads
from hfpaddle.layers.state import ForwardState

LOWEST = float(np.finfo(np.float32).min)


def relative_positions(length: int, buckets: int, max_position: int) -> np.ndarray:
    """Return query position minus key position ``[S, S]`` int64, far ones in log-wide buckets.

    Args:
        length: S.
        buckets: number of buckets to both sides together; below 1 none are used.
        max_position: distance that falls into the last bucket.
    """
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    if buckets < 1 or max_position < 1:
        return distance
    middle = buckets // 2
    near = (distance < middle) & (distance > -middle)
    size = np.where(near, middle - 1, np.abs(distance)).astype(np.float32)
    # In float32, step by step as the original: a bucket's edge is decided by the last bit.
    steps = np.log(size / np.float32(middle)) / np.log(np.float32((max_position - 1) / middle))
    bucket = np.ceil(steps * np.float32(middle - 1)) + np.float32(middle)
    return np.where(size <= middle, distance, bucket * np.sign(distance)).astype(np.int64)


class DisentangledAttention(nn.Layer):
    """Scores are content to content plus content to position (c2p) plus position to content (p2c).

    Args:
        hidden_size, num_heads: H, N.
        kinds: which of ``"c2p"`` and ``"p2c"`` there are.
        span: half the number of relative positions, or None without them.
        share_key: positions go through the content's projections.
        dropout: of the weights; ``position_dropout`` of the relative embeddings; while training.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        kinds: tuple[str, ...],
        span: int | None,
        share_key: bool,
        dropout: float,
        position_dropout: float,
    ) -> None:
        super().__init__()
        self.num_heads, self.kinds, self.span = num_heads, kinds, span
        self.share_key, self.dropout = share_key, dropout
        self.query_proj = Linear(hidden_size, hidden_size)
        self.key_proj = Linear(hidden_size, hidden_size)
        self.value_proj = Linear(hidden_size, hidden_size)
        # Each kind of score has the same variance, hence the larger divisor.
        self.scale = (hidden_size // num_heads * (1 + len(kinds))) ** -0.5
        self.pos_dropout = Dropout(position_dropout)
        if span is not None and not share_key:
            if "c2p" in kinds:
                self.pos_key_proj = Linear(hidden_size, hidden_size)
            if "p2c" in kinds:
                self.pos_query_proj = Linear(hidden_size, hidden_size)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        projections = (self.query_proj, self.key_proj, self.value_proj)
        q, k, v = (split_heads(projection(x_BSH), self.num_heads) for projection in projections)
        bias = self.position_scores(q, k, state)
        seen = state.extra["seen"]
        if seen is not None:
            # The lowest number, not minus infinity: padding attends to all alike, as originally.
            bias = paddle.zeros([1], dtype="float32").to(q.place) if bias is None else bias
            lowest = paddle.full([1], LOWEST, dtype="float32").to(q.place)
            bias = paddle.where(seen, bias, lowest)
        out_BSND, weights = ops.attention(
            *(q, k, v, bias),
            scale=self.scale,
            dropout=self.dropout if self.training else 0.0,
            need_weights=state.attentions is not None,
        )
        if state.attentions is not None:
            state.attentions.append(weights)
        return out_BSND.flatten(2)

    def position_scores(
        self, q: paddle.Tensor, k: paddle.Tensor, state: ForwardState
    ) -> paddle.Tensor | None:
        """Return c2p plus p2c scores ``[B, N, S, S]`` float32, None without relative positions."""
        if self.span is None or not self.kinds:
            return None
        B, N, S, _ = q.shape
        table_1RH = self.pos_dropout(state.extra["relative"]).unsqueeze(0)
        index = state.extra["index"].expand([B, N, S, S])
        scores = []
        if "c2p" in self.kinds:
            project = self.key_proj if self.share_key else self.pos_key_proj
            keys_1NRD = split_heads(project(table_1RH), N)
            content = paddle.matmul(q, keys_1NRD, transpose_y=True)
            scores.append(paddle.take_along_axis(content, index, axis=-1))
        if "p2c" in self.kinds:
            project = self.query_proj if self.share_key else self.pos_query_proj
            queries_1NRD = split_heads(project(table_1RH), N)
            content = paddle.matmul(k, queries_1NRD, transpose_y=True)
            # Seen from the key, the query lies in the opposite direction.
            mirrored = state.extra["mirrored"].expand([B, N, S, S])
            by_key = paddle.take_along_axis(content, mirrored, axis=-1)
            scores.append(by_key.transpose([0, 1, 3, 2]))
        return (sum(scores[1:], scores[0]) * self.scale).astype("float32")


class DisentangledBlock(PostNormBlock):
    """BERT's block; the relative table comes apart, so that recomputation sees its gradient."""

    def forward(
        self, x_BSH: paddle.Tensor, state: ForwardState, relative_RH: paddle.Tensor | None = None
    ) -> paddle.Tensor:
        state.extra["relative"] = relative_RH
        return super().forward(x_BSH, state)


class Convolution(nn.Layer):
    """Adds a convolution of the embeddings to the first block's result, and norms the sum."""

    def __init__(
        self, hidden_size: int, kernel: int, groups: int, act: str, eps: float, dropout: float
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise UnsupportedConfigError(
                f"conv_kernel_size={kernel} is even, so it would change the number of tokens "
                "(works: odd sizes)."
            )
        self.padding, self.groups = (kernel - 1) // 2, groups
        self.conv: Any = nn.Layer()
        self.conv.first_draws = {"weight": "uniform", "bias": "uniform"}
        self.conv.weight = parameter([hidden_size, hidden_size // groups, kernel])
        self.conv.bias = parameter([hidden_size])
        self.act = activation(act)
        self.LayerNorm = LayerNorm(hidden_size, eps)
        self.dropout = Dropout(dropout)

    def forward(
        self, x_BSH: paddle.Tensor, residual_BSH: paddle.Tensor, real_BS1: paddle.Tensor | None
    ) -> paddle.Tensor:
        weight, bias = (p.astype(x_BSH.dtype) for p in (self.conv.weight, self.conv.bias))
        x_BHS = x_BSH.transpose([0, 2, 1])
        x_BHS = F.conv1d(x_BHS, weight, bias, padding=self.padding, groups=self.groups)
        x_BSH = x_BHS.transpose([0, 2, 1])
        if real_BS1 is None:
            return self.LayerNorm(residual_BSH + self.act(self.dropout(x_BSH)))
        real_BS1 = real_BS1.astype(x_BSH.dtype)
        kept_BS1 = (real_BS1 != 0).astype(x_BSH.dtype)
        x_BSH = self.act(self.dropout(x_BSH * kept_BS1))
        return self.LayerNorm(residual_BSH + x_BSH) * real_BS1


class MaskedEmbeddings(EncoderEmbeddings):
    """Sum of the embeddings, projected from E to H if they differ; padding becomes zero."""

    def __init__(
        self,
        vocab_size: int,
        width: int,
        max_positions: int | None,
        token_types: int | None,
        padding_idx: int | None,
        *,
        hidden_size: int,
        eps: float,
        dropout: float,
    ) -> None:
        super().__init__(vocab_size, width, max_positions, token_types, padding_idx, eps, dropout)
        self.embed_proj = None
        if width != hidden_size:
            self.embed_proj = Linear(width, hidden_size, bias=False)
            self.LayerNorm = LayerNorm(hidden_size, eps)

    def forward(self, *args: Any, mask: paddle.Tensor | None) -> paddle.Tensor:
        x = self.add_all(*args)
        x_BSH = self.LayerNorm(x if self.embed_proj is None else self.embed_proj(x))
        if mask is not None:
            x_BSH = x_BSH * mask.astype(x_BSH.dtype).unsqueeze(-1)
        return self.dropout(x_BSH)


class MatchedHead(nn.Layer):
    """Scores of each token against the word table itself (``legacy=False``)."""

    def __init__(self, hidden_size: int, vocab_size: int, act: str, eps: float) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)
        self.act = activation(act)
        self.LayerNorm = LayerNorm(hidden_size, eps)
        self.bias = parameter([vocab_size])

    def forward(self, x_BSH: paddle.Tensor, words_VH: paddle.Tensor) -> paddle.Tensor:
        return ops.linear(self.LayerNorm(self.act(self.dense(x_BSH))), words_VH, self.bias)


class ContextPooler(nn.Layer):
    """``act(dense(dropout(first token)))``."""

    def __init__(self, hidden_size: int, act: str, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)
        self.act = activation(act)
        self.dropout = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.dense(self.dropout(x_BSH[:, 0])))
