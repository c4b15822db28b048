"""The post-norm encoder block of BERT, which most encoder families share under the same names.

Source: arXiv:1810.04805.
Shape letters: B batch, S queries, T keys, H hidden, I intermediate, N heads, D head size.
"""

from __future__ import annotations

import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers.activations import activation
from hfpaddle.layers.basic import Dropout, Embedding, LayerNorm, Linear
from hfpaddle.layers.parameter import parameter
from hfpaddle.layers.state import ForwardState


def split_heads(x_BSH: paddle.Tensor, num_heads: int) -> paddle.Tensor:
    """Return ``[B, N, S, D]``."""
    B, S, _ = x_BSH.shape
    return x_BSH.reshape([B, S, num_heads, -1]).transpose([0, 2, 1, 3])


class EncoderEmbeddings(nn.Layer):
    """Sum of word, token-type and position embeddings, normed.

    Args:
        vocab_size, hidden_size: rows and width of the word table.
        max_positions: rows of the position table, None without one; ``position_padding`` is the row
            that receives no gradient.
        token_types: rows of the token-type table, None without one.
        padding_idx: row of the word table that receives no gradient.
        eps, dropout: of the norm, and of its result while training.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        max_positions: int | None,
        token_types: int | None,
        padding_idx: int | None,
        eps: float,
        dropout: float,
        position_padding: int | None = None,
    ) -> None:
        super().__init__()
        self.max_positions, self.hidden_size = max_positions, hidden_size
        self.word_embeddings = Embedding(vocab_size, hidden_size, padding_idx)
        self.position_embeddings = None
        if max_positions is not None:
            self.position_embeddings = Embedding(max_positions, hidden_size, position_padding)
        self.token_type_embeddings = None
        if token_types is not None:
            self.token_type_embeddings = Embedding(token_types, hidden_size)
        self.LayerNorm = LayerNorm(hidden_size, eps)
        self.dropout = Dropout(dropout)

    def positions(
        self, input_ids_BS: paddle.Tensor | None, x_BSH: paddle.Tensor, past: int
    ) -> paddle.Tensor:
        """Return the default positions ``[1 or B, S]``: counting on from ``past``."""
        end = past + x_BSH.shape[1]
        if self.max_positions is not None and end > self.max_positions:
            raise ValueError(
                f"The input has {end} tokens, but the model has {self.max_positions} positions "
                "(max_position_embeddings). Truncate it, for example with the tokenizer's "
                "truncation=True."
            )
        return paddle.arange(past, end).unsqueeze(0).to(x_BSH.place)

    def add_all(
        self,
        input_ids_BS: paddle.Tensor | None,
        token_type_ids_BS: paddle.Tensor | None,
        position_ids_BS: paddle.Tensor | None,
        inputs_embeds_BSH: paddle.Tensor | None,
        past: int,
    ) -> paddle.Tensor:
        """Return the sum ``[B, S, H]`` before the norm."""
        x_BSH = inputs_embeds_BSH
        if x_BSH is None:
            x_BSH = self.word_embeddings(input_ids_BS)
        words_BSH = x_BSH
        if self.token_type_embeddings is not None:
            if token_type_ids_BS is None:
                shape = [1, x_BSH.shape[1]]
                token_type_ids_BS = paddle.zeros(shape, dtype="int64").to(x_BSH.place)
            x_BSH = x_BSH + self.token_type_embeddings(token_type_ids_BS.astype("int64"))
        if self.position_embeddings is not None:
            if position_ids_BS is None:
                position_ids_BS = self.positions(input_ids_BS, words_BSH, past)
            x_BSH = x_BSH + self.position_embeddings(position_ids_BS.astype("int64"))
        return x_BSH

    def forward(
        self,
        input_ids_BS: paddle.Tensor | None,
        token_type_ids_BS: paddle.Tensor | None = None,
        position_ids_BS: paddle.Tensor | None = None,
        inputs_embeds_BSH: paddle.Tensor | None = None,
        past: int = 0,
    ) -> paddle.Tensor:
        x_BSH = self.add_all(
            input_ids_BS, token_type_ids_BS, position_ids_BS, inputs_embeds_BSH, past
        )
        return self.dropout(self.LayerNorm(x_BSH))


class SelfAttention(nn.Layer):
    """Query, key and value projections and attention; the output projection is a `ResidualNorm`.

    Args:
        hidden_size, num_heads: H, N.
        dropout: of the weights, while training.
        layer_idx: this layer's place in the cache.
        bias: whether the projections have one.
    Raises: UnsupportedConfigError if N does not divide H.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        dropout: float,
        layer_idx: int,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise UnsupportedConfigError(
                f"The hidden size ({hidden_size}) is not a multiple of the number of attention "
                f"heads ({num_heads})."
            )
        self.num_heads, self.dropout, self.layer_idx = num_heads, dropout, layer_idx
        self.scale = (hidden_size // num_heads) ** -0.5
        self.query = Linear(hidden_size, hidden_size, bias)
        self.key = Linear(hidden_size, hidden_size, bias)
        self.value = Linear(hidden_size, hidden_size, bias)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        projections = (self.query, self.key, self.value)
        q, k, v = (split_heads(projection(x_BSH), self.num_heads) for projection in projections)
        if state.cache is not None:
            k, v = state.cache.update(k, v, self.layer_idx)
        out_BSND, weights = ops.attention(
            q,
            k,
            v,
            scale=self.scale,
            dropout=self.dropout if self.training else 0.0,
            mask=state.masks["full_attention"],
            need_weights=state.attentions is not None,
        )
        if state.attentions is not None:
            state.attentions.append(weights)
        return out_BSND.flatten(2)


class ResidualNorm(nn.Layer):
    """``LayerNorm(dropout(dense(x)) + residual)``."""

    def __init__(self, in_size: int, hidden_size: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(in_size, hidden_size)
        self.LayerNorm = LayerNorm(hidden_size, eps)
        self.dropout = Dropout(dropout)

    def forward(self, x: paddle.Tensor, residual_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual_BSH)


class Intermediate(nn.Layer):
    """``act(dense(x))``, H to I."""

    def __init__(self, hidden_size: int, intermediate_size: int, act: str) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, intermediate_size)
        self.intermediate_act_fn = activation(act)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.intermediate_act_fn(self.dense(x_BSH))


class AttentionAndOutput(nn.Layer):
    """The checkpoint's ``attention.self`` and ``attention.output``."""

    def __init__(self, attention: nn.Layer, output: ResidualNorm) -> None:
        super().__init__()
        self.self = attention
        self.output = output

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return self.output(self.self(x_BSH, state), x_BSH)


class PostNormBlock(nn.Layer):
    """Attention and MLP, each normed after it is added to the residual stream.

    Args:
        attention: maps ``[B, S, H]`` and a `ForwardState` to ``[B, S, H]``, before the output
            projection.
        hidden_size, intermediate_size: H, I.
        act: name of the MLP's activation.
        eps, dropout: of both norms, and of what is added, while training.
    """

    def __init__(
        self,
        attention: nn.Layer,
        hidden_size: int,
        intermediate_size: int,
        act: str,
        eps: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = AttentionAndOutput(
            attention, ResidualNorm(hidden_size, hidden_size, eps, dropout)
        )
        self.intermediate = Intermediate(hidden_size, intermediate_size, act)
        self.output = ResidualNorm(intermediate_size, hidden_size, eps, dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = self.attention(x_BSH, state)
        return self.output(self.intermediate(x_BSH), x_BSH)


class TransformHead(nn.Layer):
    """``LayerNorm(act(dense(x)))``, the first half of a masked-language-model head."""

    def __init__(self, in_size: int, out_size: int, act: str, eps: float) -> None:
        super().__init__()
        self.dense = Linear(in_size, out_size)
        self.transform_act_fn = activation(act)
        self.LayerNorm = LayerNorm(out_size, eps)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.LayerNorm(self.transform_act_fn(self.dense(x)))


class VocabularyHead(nn.Layer):
    """The checkpoint's ``cls.predictions``: `TransformHead`, then a score of each token.

    ``bias`` is what checkpoints hold; the key map ties ``decoder.bias`` to it.
    """

    def __init__(self, hidden_size: int, width: int, vocab_size: int, act: str, eps: float) -> None:
        super().__init__()
        self.transform = TransformHead(hidden_size, width, act, eps)
        self.decoder = Linear(width, vocab_size)
        self.bias = parameter([vocab_size])

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.decoder(self.transform(x_BSH))
