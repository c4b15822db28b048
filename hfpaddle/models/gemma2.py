"""Gemma 2 decoder: norms on both sides of each part, softcaps, and windows in every other layer.

Source: arXiv:2408.00118; checkpoints `google/gemma-2-*`.
Shape letters: B batch, S sequence, H hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.layers import Attention, GatedMLP
from hfpaddle.layers.recipe import BlockRecipe, block_recipe
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.gemma import GemmaForCausalLM, gemma_norm, refuse_bidirectional


class SandwichBlock(nn.Layer):
    """Attention and MLP, each normed before and after, then added to the residual stream."""

    def __init__(self, self_attn: nn.Layer, mlp: nn.Layer, norm: Callable[[], nn.Layer]) -> None:
        super().__init__()
        self.self_attn, self.mlp = self_attn, mlp
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()
        self.pre_feedforward_layernorm, self.post_feedforward_layernorm = norm(), norm()

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.self_attn(self.input_layernorm(x_BSH), state)
        x_BSH = x_BSH + self.post_attention_layernorm(h_BSH)
        h_BSH = self.mlp(self.pre_feedforward_layernorm(x_BSH))
        return x_BSH + self.post_feedforward_layernorm(h_BSH)

    def recipe(self) -> BlockRecipe | None:
        norms = {
            "before_attention": self.input_layernorm,
            "after_attention": self.post_attention_layernorm,
            "before_mlp": self.pre_feedforward_layernorm,
            "after_mlp": self.post_feedforward_layernorm,
        }
        return block_recipe(self, norms, attention=self.self_attn, mlp=self.mlp)


@register_model("gemma2")
class Gemma2ForCausalLM(GemmaForCausalLM):
    """Sandwich-normed blocks whose scores and logits are softcapped."""

    config_class = transformers.Gemma2Config
    # Classes without a vocabulary projection have no logits to cap; this one reads it.
    neutral_config_keys = frozenset({"final_logit_softcapping"})

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.logit_softcap = config.final_logit_softcapping

    @staticmethod
    def make_block(config: transformers.Gemma2Config, layer: int) -> SandwichBlock:
        refuse_bidirectional(config)
        return gemma_block(config, layer, softcap=config.attn_logit_softcapping)

    def scale_logits(self, logits_BSV: paddle.Tensor) -> paddle.Tensor:
        if self.logit_softcap is None:
            return logits_BSV
        return paddle.tanh(logits_BSV / self.logit_softcap) * self.logit_softcap


def gemma_block(config: Any, layer: int, **attention: Any) -> SandwichBlock:
    """Return a block of Gemma 2 or 3; ``attention`` holds what differs between them."""
    return SandwichBlock(
        self_attn=Attention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            layer,
            bias=config.attention_bias,
            scale=config.query_pre_attn_scalar**-0.5,
            dropout=config.attention_dropout,
            layer_type=config.layer_types[layer],
            **attention,
        ),
        mlp=GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_activation),
        norm=partial(gemma_norm(config.rms_norm_eps), config.hidden_size),
    )
