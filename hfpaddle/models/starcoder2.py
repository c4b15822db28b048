"""StarCoder2 decoder: Mistral's attention with biases, layer norms and a plain MLP.

Source: arXiv:2402.19173; checkpoints `bigcode/starcoder2-*`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers import MLP, Attention, LayerNorm
from hfpaddle.layers.recipe import AttentionRecipe
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderModel
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.mistral import MistralForCausalLM


class DroppedAttention(Attention):
    """Attention whose result is dropped out before it joins the residual stream."""

    residual_dropout = 0.0

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        out_BSH = super().forward(x_BSH, state)
        return ops.dropout(out_BSH, self.residual_dropout, self.training)

    def recipe(self) -> AttentionRecipe | None:
        return self._recipe()


class Starcoder2Model(DecoderModel):
    """A backbone whose embeddings are dropped out."""

    key_map = MistralForCausalLM.key_map

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embedding_dropout = config.embedding_dropout

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return ops.dropout(x_BSH, self.embedding_dropout, self.training)


@register_model("starcoder2")
class Starcoder2ForCausalLM(MistralForCausalLM):
    """Mistral's blocks with layer norms and ``c_fc``, ``c_proj``."""

    config_class: Any = transformers.Starcoder2Config
    model_class: Any = Starcoder2Model
    plan = {
        "model.layers.*.self_attn.{q,k,v}_proj": "colwise",
        "model.layers.*.self_attn.o_proj": "rowwise",
        "model.layers.*.mlp.c_fc": "colwise",
        "model.layers.*.mlp.c_proj": "rowwise",
    }

    @staticmethod
    def make_norm(config: Any) -> nn.Layer:
        return LayerNorm(config.hidden_size, config.norm_epsilon)

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        head_dim = getattr(config, "head_dim", None)
        attention = DroppedAttention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            head_dim or config.hidden_size // config.num_attention_heads,
            layer,
            bias=config.use_bias,
            dropout=config.attention_dropout,
            layer_type=cls.layer_types(config)[layer],
        )
        attention.residual_dropout = config.residual_dropout
        return attention

    @classmethod
    def make_mlp(cls, config: Any, layer: int) -> nn.Layer:
        return MLP(
            config.hidden_size,
            config.intermediate_size,
            config.hidden_act,
            config.use_bias,
            names=("c_fc", "c_proj"),
            dropout=config.residual_dropout,
        )
