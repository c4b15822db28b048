"""Self-attention of decoder families, put together from plain numbers.

Shape letters: B batch, S queries, T keys, H hidden, N query heads, K key/value heads, D head size.
"""

from __future__ import annotations

import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.masks import AttentionMask
from hfpaddle.layers.recipe import AttentionRecipe, LinearRecipe, linear_recipe, norm_recipe
from hfpaddle.layers.state import ForwardState


def masked_attention(
    q: paddle.Tensor,
    k: paddle.Tensor,
    v: paddle.Tensor,
    mask: AttentionMask,
    attentions: list[paddle.Tensor] | None,
    *,
    scale: float,
    softcap: float | None = None,
    dropout: float = 0.0,
) -> paddle.Tensor:
    """Attend as ``mask`` describes; the weights ``[B, N, S, T]`` go to ``attentions`` if asked for.

    Args:
        q, k, v: ``[B, N, S, D]``, ``[B, K, T, D]``, ``[B, K, T, E]``.
        scale, softcap, dropout: see `hfpaddle.ops.attention`.
    Returns: ``[B, S, N, E]``.
    """
    rest = {"scale": scale, "softcap": softcap, "dropout": dropout}
    # Weights that are asked for are those of all keys, so samples are told apart by the mask then.
    if mask.packing is not None and attentions is None:
        lengths = mask.packing.lengths
        return ops.packed_attention(q, k, v, lengths, mask=mask, **rest)
    wanted = attentions is not None
    out_BSND, weights = ops.attention(q, k, v, mask=mask, need_weights=wanted, **rest)
    if attentions is not None:
        attentions.append(weights)
    return out_BSND


class Attention(nn.Layer):
    """Grouped-query attention with optional rotary positions, query/key norms and softcap.

    Args:
        hidden_size, num_heads, num_kv_heads, head_dim: H, N, K, D.
        layer_idx: this layer's place in the cache.
        bias: whether query, key and value projections have one; ``out_bias`` for the output
            projection (default: the same).
        scale: multiplies the scores; default ``D ** -0.5``.
        dropout: of the weights, while training.
        layer_type: which mask and which rotary angles apply.
        rope: ``"half"`` (GPT-NeoX pairs), ``"interleaved"`` (GPT-J pairs), or None.
        softcap: see `hfpaddle.ops.attention`.
        qk_norm: makes a norm from a size; applied to each head of queries and keys.
        names: attribute names of the query, key, value and output projections.

    A subclass with ``upcast = True`` attends in float32 whatever the dtype of its input.
    """

    upcast = False

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        layer_idx: int,
        *,
        bias: bool = False,
        out_bias: bool | None = None,
        scale: float | None = None,
        dropout: float = 0.0,
        layer_type: str = "full_attention",
        rope: str | None = "half",
        softcap: float | None = None,
        qk_norm=None,
        names: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj"),
    ) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, head_dim
        self.layer_idx, self.layer_type, self.rope = layer_idx, layer_type, rope
        self.scale = head_dim**-0.5 if scale is None else scale
        self.softcap, self.dropout, self.names = softcap, dropout, names
        self.make_projections(hidden_size, bias)
        out_bias = bias if out_bias is None else out_bias
        setattr(self, names[-1], Linear(num_heads * head_dim, hidden_size, out_bias))
        self.q_norm = qk_norm(head_dim) if qk_norm else None
        self.k_norm = qk_norm(head_dim) if qk_norm else None

    def make_projections(self, hidden_size: int, bias: bool) -> None:
        """Create the query, key and value projections."""
        heads = (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        for name, count in zip(self.names[:3], heads, strict=True):
            setattr(self, name, Linear(hidden_size, count * self.head_dim, bias))

    def project(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Return queries ``[B, S, N, D]``, keys and values ``[B, S, K, D]``, normed."""
        B, S, _ = x_BSH.shape
        q, k, v, _ = (getattr(self, name) for name in self.names)
        q_BSND = q(x_BSH).reshape([B, S, -1, self.head_dim])
        k_BSKD = k(x_BSH).reshape([B, S, -1, self.head_dim])
        v_BSKD = v(x_BSH).reshape([B, S, -1, self.head_dim])
        if self.q_norm is not None and self.k_norm is not None:
            q_BSND, k_BSKD = self.q_norm(q_BSND), self.k_norm(k_BSKD)
        return q_BSND, k_BSKD, v_BSKD

    def projection_recipes(self) -> tuple[LinearRecipe | None, ...]:
        """Return the plans of the query, key, value and output projections."""
        return tuple(linear_recipe(getattr(self, name)) for name in self.names)

    def recipe(self) -> AttentionRecipe | None:
        """Return what a kernel needs to attend; None for subclasses that do something else."""
        return self._recipe() if type(self) is Attention else None

    def _recipe(self, whole_norms: bool = False) -> AttentionRecipe | None:
        projections = self.projection_recipes()
        norms = [None if n is None else norm_recipe(n) for n in (self.q_norm, self.k_norm)]
        if None in projections or (self.q_norm is not None and None in norms):
            return None
        return AttentionRecipe(
            *projections,  # type: ignore[arg-type]
            heads=self.num_heads,
            kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            layer_idx=self.layer_idx,
            layer_type=self.layer_type,
            rope=self.rope,
            scale=self.scale,
            softcap=self.softcap,
            query_norm=norms[0],
            key_norm=norms[1],
            whole_norms=whole_norms,
        )

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        q, k, v = (t.transpose([0, 2, 1, 3]) for t in self.project(x_BSH))
        if self.rope is not None:
            cos, sin = state.rope[self.layer_type]
            interleaved = self.rope == "interleaved"
            q, k = ops.rotary(q, cos, sin, interleaved), ops.rotary(k, cos, sin, interleaved)
        return self.attend(q, k, v, state)

    def attend(
        self, q: paddle.Tensor, k: paddle.Tensor, v: paddle.Tensor, state: ForwardState
    ) -> paddle.Tensor:
        """Append keys and values to the cache, attend, project out: ``[B, S, H]``."""
        if state.cache is not None:
            k, v = state.cache.update(k, v, self.layer_idx)
        dtype = q.dtype
        if self.upcast:
            q, k, v = (t.astype("float32") for t in (q, k, v))
        out_BSND = masked_attention(
            *(q, k, v, state.masks[self.layer_type], state.attentions),
            scale=self.scale,
            softcap=self.softcap,
            dropout=self.dropout if self.training else 0.0,
        )
        return getattr(self, self.names[-1])(out_BSND.flatten(2).astype(dtype))


class FusedAttention(Attention):
    """`Attention` with one projection whose rows are all queries, then all keys, then all values.

    ``names`` are the attribute names of this projection and of the output's.
    """

    def __init__(self, *args, names: tuple[str, ...] = ("qkv_proj", "o_proj"), **kwargs) -> None:
        super().__init__(*args, names=names, **kwargs)

    def make_projections(self, hidden_size: int, bias: bool) -> None:
        rows = (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        setattr(self, self.names[0], Linear(hidden_size, rows, bias))

    def projection_recipes(self) -> tuple[LinearRecipe | None, ...]:
        qkv, output = (getattr(self, name) for name in self.names)
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        bounds = (0, queries, queries + keys, queries + 2 * keys)
        rows = zip(bounds[:-1], bounds[1:], strict=True)
        return (*(linear_recipe(qkv, *pair) for pair in rows), linear_recipe(output))

    def recipe(self) -> AttentionRecipe | None:
        return self._recipe() if type(self) is FusedAttention else None

    def project(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        B, S, _ = x_BSH.shape
        qkv_BSND = getattr(self, self.names[0])(x_BSH).reshape([B, S, -1, self.head_dim])
        N, K = self.num_heads, self.num_kv_heads
        q_BSND, k_BSKD = qkv_BSND[:, :, :N], qkv_BSND[:, :, N : N + K]
        if self.q_norm is not None and self.k_norm is not None:
            q_BSND, k_BSKD = self.q_norm(q_BSND), self.k_norm(k_BSKD)
        return q_BSND, k_BSKD, qkv_BSND[:, :, N + K :]


class GroupFusedAttention(FusedAttention):
    """`Attention` with one projection whose rows are grouped by key/value head.

    Each group holds its query heads, then its key, then its value (GPT-NeoX, BLOOM, Falcon).
    """

    def project(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        B, S, _ = x_BSH.shape
        N, K, D = self.num_heads, self.num_kv_heads, self.head_dim
        qkv = getattr(self, self.names[0])(x_BSH).reshape([B, S, K, N // K + 2, D])
        q_BSND = qkv[:, :, :, :-2].reshape([B, S, N, D])
        return q_BSND, qkv[:, :, :, -2], qkv[:, :, :, -1]
