"""Falcon decoder, both architectures: parallel attention and MLP, one or few key heads.

Source: arXiv:2311.16867; checkpoints `tiiuae/falcon-*`.
Shape letters: B batch, S sequence, T keys, N query heads, K key/value heads, D head size, H hidden.
"""

from __future__ import annotations

import math
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import (
    MLP,
    Dropout,
    Embedding,
    GroupFusedAttention,
    LayerNorm,
    RotaryEmbedding,
)
from hfpaddle.layers.alibi import alibi_positions, alibi_slopes, with_alibi
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderForCausalLM, DecoderModel
from hfpaddle.modeling.heads import ClassifierForTokenClassification
from hfpaddle.modeling.outputs import CausalLMOutputWithCrossAttentions
from hfpaddle.modeling.registry import register_model
from hfpaddle.modeling.signature import argument_order

ARGUMENTS = ("input_ids", "past_key_values", "attention_mask", "position_ids", "inputs_embeds")


class ParallelLayer(nn.Layer):
    """Attention and MLP side by side, behind one norm or (``separate``) a norm each."""

    def __init__(
        self, self_attention: nn.Layer, mlp: nn.Layer, norms: list[nn.Layer], dropout: float
    ) -> None:
        super().__init__()
        self.self_attention, self.mlp, self.separate = self_attention, mlp, len(norms) == 2
        if self.separate:
            self.ln_attn, self.ln_mlp = norms
        else:
            self.input_layernorm = norms[0]
        self.dropout = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        if self.separate:
            h_BSH, mlp_BSH = self.ln_attn(x_BSH), self.ln_mlp(x_BSH)
        else:
            h_BSH = mlp_BSH = self.input_layernorm(x_BSH)
        attended_BSH = self.self_attention(h_BSH, state)
        return x_BSH + self.dropout(self.mlp(mlp_BSH) + attended_BSH)


class SerialLayer(nn.Layer):
    """Attention, then MLP, each behind a norm."""

    def __init__(
        self,
        self_attention: nn.Layer,
        mlp: nn.Layer,
        norms: list[nn.Layer],
        attention_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.self_attention, self.mlp = self_attention, mlp
        self.input_layernorm, self.post_attention_layernorm = norms
        self.attention_dropout, self.dropout = Dropout(attention_dropout), Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        attended_BSH = self.self_attention(self.input_layernorm(x_BSH), state)
        x_BSH = x_BSH + self.attention_dropout(attended_BSH)
        return x_BSH + self.dropout(self.mlp(self.post_attention_layernorm(x_BSH)))


def rounded(x: paddle.Tensor) -> paddle.Tensor:
    """Return float32 ``x`` with bfloat16's precision."""
    return x.astype("bfloat16").astype("float32")


@argument_order(*ARGUMENTS)
class FalconModel(DecoderModel):
    """The backbone."""

    embedding_path, layers_name, norm_name = "word_embeddings", "h", "ln_f"

    def __init__(self, config: transformers.FalconConfig) -> None:
        super().__init__(config)
        self.slopes = alibi_slopes(config.num_attention_heads) if config.alibi else None
        self.alibi_scale = math.sqrt(config.hidden_size // config.num_attention_heads)

    def make_state(
        self,
        x_BSH: Any,
        attention_mask: Any,
        position_ids: Any,
        cache: Any,
        past: int,
        packing: Any,
    ) -> ForwardState:
        state = super().make_state(x_BSH, attention_mask, position_ids, cache, past, packing)
        if self.slopes is None:
            return state
        mask = state.masks["full_attention"]
        positions_BT = alibi_positions(attention_mask, mask.keys, x_BSH.place).astype("float32")
        slopes_N1 = paddle.to_tensor(self.slopes, place=x_BSH.place).unsqueeze(-1)
        # Checkpoints were trained with biases rounded like this. They are scaled as scores are.
        alibi_BNT = rounded(rounded(slopes_N1) * rounded(positions_BT).unsqueeze(1))
        alibi_BNT = alibi_BNT.astype(x_BSH.dtype).astype("float32") / self.alibi_scale
        state.masks = {"full_attention": with_alibi(mask, alibi_BNT)}
        return state


def drawn_twice(layer: Any, *names: str) -> Any:
    """Return ``layer``; as in the original, new weights of these projections are drawn twice."""
    for name in names:
        getattr(layer, name).init_again = True
    return layer


def norm_count(config: transformers.FalconConfig) -> int:
    """Return how many norms a parallel layer has.

    Raises: UnsupportedConfigError for combinations that no Falcon has.
    """
    count = config.num_ln_in_parallel_attn
    if count is None:
        count = 2 if config.new_decoder_architecture else 1
    fits = config.parallel_attn if config.new_decoder_architecture else count == 1
    if count not in (1, 2) or not fits:
        raise UnsupportedConfigError(
            f"falcon: new_decoder_architecture={config.new_decoder_architecture} with "
            f"parallel_attn={config.parallel_attn} and num_ln_in_parallel_attn={count} is not "
            "implemented (works: the new architecture in parallel with 1 or 2, the old with 1)."
        )
    return count


@register_model("falcon")
@argument_order(*ARGUMENTS)
class FalconForCausalLM(DecoderForCausalLM):
    """Queries, keys and values come from one projection, grouped by key head."""

    config_class = transformers.FalconConfig
    base_model_prefix = "transformer"
    model_class = FalconModel
    key_map = FalconModel.key_map = KeyMap(
        (
            Drop("*.rotary_emb.inv_freq"),
            Tie("lm_head.weight", "transformer.word_embeddings.weight"),
        )
    )
    # Without effect under alibi; read otherwise.
    neutral_config_keys = frozenset(("max_position_embeddings", "rope_parameters"))
    head_classes = {"AutoModelForTokenClassification": ClassifierForTokenClassification}
    plan = {
        "transformer.h.*.self_attention.query_key_value": "colwise",
        "transformer.h.*.self_attention.dense": "rowwise",
        "transformer.h.*.mlp.dense_h_to_4h": "colwise",
        "transformer.h.*.mlp.dense_4h_to_h": "rowwise",
    }

    @staticmethod
    def make_embedding(config: transformers.FalconConfig) -> Embedding:
        return Embedding(config.vocab_size, config.hidden_size)

    @staticmethod
    def make_norm(config: transformers.FalconConfig) -> LayerNorm:
        return LayerNorm(config.hidden_size, config.layer_norm_epsilon)

    @classmethod
    def make_rotary(cls, config: transformers.FalconConfig) -> dict[str, RotaryEmbedding]:
        return {} if config.alibi else super().make_rotary(config)

    @staticmethod
    def make_attention(config: transformers.FalconConfig, layer: int) -> GroupFusedAttention:
        H, N, K = config.hidden_size, config.num_attention_heads, config.num_kv_heads
        if not config.new_decoder_architecture:
            K = 1 if config.multi_query else N
        attention = GroupFusedAttention(
            *(H, N, K, H // N, layer),
            bias=config.bias,
            # The original drops no weights where positions rotate.
            dropout=config.attention_dropout if config.alibi else 0.0,
            rope=None if config.alibi else "half",
            names=("query_key_value", "dense"),
        )
        return drawn_twice(attention, "query_key_value", "dense")

    @classmethod
    def make_block(cls, config: transformers.FalconConfig, layer: int) -> nn.Layer:
        attention, count = cls.make_attention(config, layer), norm_count(config)
        mlp = MLP(
            config.hidden_size,
            config.ffn_hidden_size,
            config.activation,
            config.bias,
            names=("dense_h_to_4h", "dense_4h_to_h"),
        )
        drawn_twice(mlp, "dense_h_to_4h", "dense_4h_to_h")
        if config.parallel_attn:
            norms = [cls.make_norm(config) for _ in range(count)]
            return ParallelLayer(attention, mlp, norms, config.hidden_dropout)
        norms = [cls.make_norm(config), cls.make_norm(config)]
        return SerialLayer(attention, mlp, norms, config.attention_dropout, config.hidden_dropout)

    def make_output(self, loss: Any, logits_BSV: paddle.Tensor, outputs: Any) -> Any:
        return CausalLMOutputWithCrossAttentions(**super().make_output(loss, logits_BSV, outputs))
