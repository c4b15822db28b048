"""Qwen3 dense decoder: Qwen2 with a norm on each query and key head.

Source: arXiv:2505.09388; checkpoints `Qwen/Qwen3-*`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import transformers

from hfpaddle.layers import Attention, RMSNorm
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.qwen2 import Qwen2ForCausalLM


@register_model("qwen3")
class Qwen3ForCausalLM(Qwen2ForCausalLM):
    """Qwen2 blocks with normed heads; biases only if ``attention_bias``."""

    config_class: Any = transformers.Qwen3Config

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
            layer_type=cls.layer_types(config)[layer],
            qk_norm=partial(RMSNorm, eps=config.rms_norm_eps),
        )
