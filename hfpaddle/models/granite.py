"""Granite dense decoder: Llama with four multipliers.

Source: Granite 3.0 Language Models (IBM, 2024), arXiv:2408.13359; checkpoints `ibm-granite/*`.
Shape letters: B batch, S sequence, H hidden, V vocabulary.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.layers import Attention
from hfpaddle.layers.recipe import BlockRecipe
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderBlock, DecoderModel
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


class GraniteBlock(DecoderBlock):
    """`DecoderBlock` that scales what it adds to the residual stream."""

    residual_multiplier = 1.0

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        out_BSH = self.self_attn(self.input_layernorm(x_BSH), state)
        x_BSH = x_BSH + out_BSH * self.residual_multiplier
        return x_BSH + self.mlp(self.post_attention_layernorm(x_BSH)) * self.residual_multiplier

    def recipe(self) -> BlockRecipe | None:
        return self._recipe(self.residual_multiplier)


class GraniteModel(DecoderModel):
    """A backbone that scales its embeddings, those given by the user too."""

    key_map = LlamaForCausalLM.key_map

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embedding_multiplier = config.embedding_multiplier

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return x_BSH * self.embedding_multiplier


@register_model("granite")
class GraniteForCausalLM(LlamaForCausalLM):
    """Llama blocks; embeddings, scores, residuals and logits are scaled."""

    config_class: Any = transformers.GraniteConfig
    model_class: Any = GraniteModel
    # Of the causal LM alone, which reads it; the backbone and the other heads have no logits to
    # scale.
    neutral_config_keys = frozenset({"logits_scaling"})

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.logits_scaling = config.logits_scaling

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
            scale=config.attention_multiplier,
        )

    @classmethod
    def make_block(cls, config: Any, layer: int) -> nn.Layer:
        block = GraniteBlock(
            self_attn=cls.make_attention(config, layer),
            mlp=cls.make_mlp(config, layer),
            norm=partial(cls.make_norm, config),
        )
        block.residual_multiplier = config.residual_multiplier
        return block

    def scale_logits(self, logits_BSV: paddle.Tensor) -> paddle.Tensor:
        return logits_BSV / self.logits_scaling
