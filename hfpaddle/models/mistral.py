"""Mistral decoder: Llama without biases, with one sliding window in all layers or none.

Source: arXiv:2310.06825; checkpoints `mistralai/Mistral-7B-*`.
"""

from __future__ import annotations

from typing import Any

import transformers
from paddle import nn

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import Attention, GatedMLP
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


@register_model("mistral")
class MistralForCausalLM(LlamaForCausalLM):
    """Llama blocks whose queries see ``sliding_window`` keys, or all if it is None."""

    config_class: Any = transformers.MistralConfig
    qa_prefix = "model"

    @staticmethod
    def layer_types(config: Any) -> list[str]:
        kind = "full_attention" if config.sliding_window is None else "sliding_attention"
        types = [kind] * config.num_hidden_layers
        declared = getattr(config, "layer_types", None)
        if declared is not None and list(declared) != types:
            # The original masks all layers alike and ignores this key, but its cache does not.
            raise UnsupportedConfigError(
                f"{type(config).__name__}: layer_types = {declared!r} contradicts sliding_window = "
                f"{config.sliding_window!r}, which holds for all layers (works: {types!r}). "
                "The model_type of alternating layers is 'ministral'."
            )
        return types

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        return Attention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim or config.hidden_size // config.num_attention_heads,
            layer,
            dropout=config.attention_dropout,
            layer_type=cls.layer_types(config)[layer],
        )

    @classmethod
    def make_mlp(cls, config: Any, layer: int) -> nn.Layer:
        return GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
