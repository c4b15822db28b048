"""Llama decoder (1, 2, 3, 3.x).

Source: arXiv:2302.13971, arXiv:2307.09288, arXiv:2407.21783; checkpoints `meta-llama/*`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.layers import Attention, GatedMLP
from hfpaddle.modeling.decoder import DecoderBlock, DecoderForCausalLM
from hfpaddle.modeling.registry import register_model


@register_model("llama")
class LlamaForCausalLM(DecoderForCausalLM):
    """Pre-norm blocks with rotary grouped-query attention and a gated MLP."""

    config_class: Any = transformers.LlamaConfig
    key_map = KeyMap(
        (
            Drop("*.rotary_emb.inv_freq"),
            Tie("lm_head.weight", "model.embed_tokens.weight"),
        )
    )
    qa_prefix = "transformer"
    plan = {
        "model.layers.*.self_attn.{q,k,v}_proj": "colwise",
        "model.layers.*.self_attn.o_proj": "rowwise",
        "model.layers.*.mlp.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.down_proj": "rowwise",
    }

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        return Attention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            layer,
            bias=config.attention_bias,
            dropout=config.attention_dropout,
        )

    @classmethod
    def make_mlp(cls, config: Any, layer: int) -> nn.Layer:
        return GatedMLP(
            config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias
        )

    @classmethod
    def make_block(cls, config: Any, layer: int) -> nn.Layer:
        return DecoderBlock(
            self_attn=cls.make_attention(config, layer),
            mlp=cls.make_mlp(config, layer),
            norm=partial(cls.make_norm, config),
        )
