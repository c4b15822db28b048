"""SmolLM3 decoder: Llama in which some layers rotate nothing.

Source: the SmolLM3 release notes (Hugging Face, 2025), arXiv:2501.18795 for the layers without
positions; checkpoints `HuggingFaceTB/SmolLM3-*`.
"""

from __future__ import annotations

from typing import Any

import transformers

from hfpaddle.layers import Attention
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


@register_model("smollm3")
class SmolLM3ForCausalLM(LlamaForCausalLM):
    """Llama blocks; ``no_rope_layers[i] == 0`` marks a layer without rotary positions."""

    config_class: Any = transformers.SmolLM3Config
    # Only derive ``no_rope_layers`` and ``layer_types``, which are read.
    neutral_config_keys = frozenset({"no_rope_layer_interval", "use_sliding_window"})

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        head_dim = getattr(config, "head_dim", None)
        return Attention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            head_dim or config.hidden_size // config.num_attention_heads,
            layer,
            bias=config.attention_bias,
            dropout=config.attention_dropout,
            layer_type=cls.layer_types(config)[layer],
            rope="half" if config.no_rope_layers[layer] else None,
        )
