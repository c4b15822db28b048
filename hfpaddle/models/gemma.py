"""Gemma decoder: Llama's shape with a scaled embedding and norm weights stored around zero.

Source: arXiv:2403.08295; checkpoints `google/gemma-2b`, `google/gemma-7b`.
"""

from __future__ import annotations

from functools import partial

import transformers

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import Attention, Embedding, GatedMLP, RMSNorm
from hfpaddle.modeling.decoder import DecoderBlock
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


def gemma_norm(eps: float):
    """Return a maker of Gemma's norms: from a size to an `RMSNorm` with offset 1."""
    return partial(RMSNorm, eps=eps, offset=1.0)


def refuse_bidirectional(config: transformers.PretrainedConfig) -> None:
    """Raise UnsupportedConfigError where the original's result depends on its attention kernel."""
    if config.use_bidirectional_attention:
        raise UnsupportedConfigError(
            f"{type(config).__name__}: use_bidirectional_attention=True is not implemented (works: "
            "None, False). The original masks differently with and without padding; "
            "gemma3_text implements it."
        )


@register_model("gemma")
class GemmaForCausalLM(LlamaForCausalLM):
    """Llama blocks, Gemma's norms, and embeddings multiplied by the root of their size."""

    config_class = transformers.GemmaConfig

    @staticmethod
    def make_embedding(config: transformers.GemmaConfig) -> Embedding:
        scale = config.hidden_size**0.5
        return Embedding(config.vocab_size, config.hidden_size, config.pad_token_id, scale)

    @staticmethod
    def make_norm(config: transformers.GemmaConfig) -> RMSNorm:
        return gemma_norm(config.rms_norm_eps)(config.hidden_size)

    @staticmethod
    def make_block(config: transformers.GemmaConfig, layer: int) -> DecoderBlock:
        refuse_bidirectional(config)
        return DecoderBlock(
            self_attn=Attention(
                config.hidden_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                config.head_dim,
                layer,
                bias=config.attention_bias,
                dropout=config.attention_dropout,
            ),
            mlp=GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            norm=partial(gemma_norm(config.rms_norm_eps), config.hidden_size),
        )
