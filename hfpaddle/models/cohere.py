"""Cohere Command-R decoder: attention and MLP read one norm; rotary pairs are interleaved.

Source: checkpoints `CohereForAI/c4ai-command-r-v01` and their model cards.
Shape letters: B batch, S sequence, H hidden, N heads, D head size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers import Attention, GatedMLP, LayerNorm, parameter
from hfpaddle.layers.recipe import AttentionRecipe, BlockRecipe, block_recipe
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


class HeadLayerNorm(nn.Layer):
    """Layer norm of each head with a weight ``[N, D]`` of its own."""

    def __init__(self, num_heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = parameter([num_heads, head_dim], 1.0)

    def forward(self, x_BSND: paddle.Tensor) -> paddle.Tensor:
        return ops.layer_norm(x_BSND, None, None, self.eps) * self.weight.astype(x_BSND.dtype)


class CohereAttention(Attention):
    """Attention that may norm heads, and rotates in float32 whatever the dtype."""

    def __init__(self, *args: Any, norm_eps: float | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if norm_eps is not None:
            self.q_norm = HeadLayerNorm(self.num_heads, self.head_dim, norm_eps)
            self.k_norm = HeadLayerNorm(self.num_kv_heads, self.head_dim, norm_eps)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        q, k, v = (t.transpose([0, 2, 1, 3]) for t in self.project(x_BSH))
        cos, sin = state.rope[self.layer_type]
        q = ops.rotary(q.astype("float32"), cos, sin, interleaved=True).astype(v.dtype)
        k = ops.rotary(k.astype("float32"), cos, sin, interleaved=True).astype(v.dtype)
        return self.attend(q, k, v, state)

    def recipe(self) -> AttentionRecipe | None:
        recipe = self._recipe()
        return None if recipe is None else replace(recipe, rope="interleaved")


class ParallelBlock(nn.Layer):
    """Attention and MLP of the same normed input, both added to the residual stream."""

    def __init__(self, self_attn: nn.Layer, mlp: nn.Layer, norm: nn.Layer) -> None:
        super().__init__()
        self.self_attn, self.mlp, self.input_layernorm = self_attn, mlp, norm

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.input_layernorm(x_BSH)
        return x_BSH + self.self_attn(h_BSH, state) + self.mlp(h_BSH)

    def recipe(self) -> BlockRecipe | None:
        norms = {"before_attention": self.input_layernorm, "before_mlp": self.input_layernorm}
        return block_recipe(self, norms, attention=self.self_attn, mlp=self.mlp, parallel=True)


@register_model("cohere")
class CohereForCausalLM(LlamaForCausalLM):
    """Parallel blocks with layer norms that have no bias; logits are scaled."""

    config_class: Any = transformers.CohereConfig
    # The backbone has no logits; the causal LM reads it.
    neutral_config_keys = frozenset({"logit_scale"})

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.logit_scale = config.logit_scale

    @staticmethod
    def make_norm(config: Any) -> nn.Layer:
        return LayerNorm(config.hidden_size, config.layer_norm_eps, bias=False)

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        head_dim = getattr(config, "head_dim", None)
        return CohereAttention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            head_dim or config.hidden_size // config.num_attention_heads,
            layer,
            bias=config.attention_bias,
            dropout=config.attention_dropout,
            norm_eps=config.layer_norm_eps if config.use_qk_norm else None,
        )

    @classmethod
    def make_block(cls, config: Any, layer: int) -> nn.Layer:
        return ParallelBlock(
            cls.make_attention(config, layer),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            cls.make_norm(config),
        )

    def scale_logits(self, logits_BSV: paddle.Tensor) -> paddle.Tensor:
        return logits_BSV * self.logit_scale
