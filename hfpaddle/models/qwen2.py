"""Qwen2 and Qwen2.5 dense decoder: Llama with biases on queries, keys and values.

Source: arXiv:2407.10671; checkpoints `Qwen/Qwen2-*`, `Qwen/Qwen2.5-*`.
"""

from __future__ import annotations

from typing import Any

import transformers

from hfpaddle.layers import Attention
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.mistral import MistralForCausalLM


@register_model("qwen2")
class Qwen2ForCausalLM(MistralForCausalLM):
    """Llama blocks; the layers that ``layer_types`` names see a sliding window."""

    config_class: Any = transformers.Qwen2Config
    qa_prefix = "transformer"
    # Only derive ``layer_types``, which is read.
    neutral_config_keys = frozenset({"use_sliding_window", "max_window_layers"})

    @staticmethod
    def layer_types(config: Any) -> list[str]:
        return list(config.layer_types)[: config.num_hidden_layers]

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        head_dim = getattr(config, "head_dim", None)
        return Attention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            head_dim or config.hidden_size // config.num_attention_heads,
            layer,
            bias=True,
            out_bias=False,
            dropout=config.attention_dropout,
            layer_type=cls.layer_types(config)[layer],
        )
