"""GLM-4 decoder in transformers' layout: Llama with interleaved rotary pairs on half of each head.

Source: arXiv:2406.12793; checkpoints `zai-org/glm-4-9b-chat-hf`, `zai-org/glm-edge-*`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import transformers
from paddle import nn

from hfpaddle.layers import Attention, FusedGatedMLP, RMSNorm
from hfpaddle.modeling.decoder import DecoderBlock
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


@register_model("glm")
class GlmForCausalLM(LlamaForCausalLM):
    """Biases on query, key and value projections, none on the output's; fused gate and up."""

    config_class = transformers.GlmConfig
    block_class: type[nn.Layer] = DecoderBlock
    # Fused rows are sliced after the projection, so its output is gathered before.
    plan = {
        "model.layers.*.self_attn.{q,k,v}_proj": "colwise",
        "model.layers.*.self_attn.o_proj": "rowwise",
        "model.layers.*.mlp.gate_up_proj": "colwise_gather_output",
        "model.layers.*.mlp.down_proj": "rowwise_split_input",
    }

    @classmethod
    def make_block(cls, config: Any, layer: int) -> nn.Layer:
        return cls.block_class(
            self_attn=Attention(
                config.hidden_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                config.head_dim,
                layer,
                bias=config.attention_bias,
                out_bias=False,
                dropout=config.attention_dropout,
                rope="interleaved",
            ),
            mlp=FusedGatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            norm=partial(RMSNorm, config.hidden_size, config.rms_norm_eps),
        )
