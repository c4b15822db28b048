"""OLMo 2 decoder: norms behind attention and MLP, and on whole queries and keys.

Source: arXiv:2501.00656; checkpoints `allenai/OLMo-2-*`.
Shape letters: B batch, S sequence, H hidden, N query heads, K key/value heads, D head size.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.layers import Attention, GatedMLP, RMSNorm
from hfpaddle.layers.recipe import AttentionRecipe, BlockRecipe, block_recipe
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


class Olmo2Attention(Attention):
    """Attention whose queries and keys are normed over all heads at once."""

    def __init__(self, *args: Any, eps: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.q_norm = RMSNorm(self.num_heads * self.head_dim, eps)
        self.k_norm = RMSNorm(self.num_kv_heads * self.head_dim, eps)

    def project(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        B, S, _ = x_BSH.shape
        q, k, v, _ = (getattr(self, name) for name in self.names)
        q_BSND = self.q_norm(q(x_BSH)).reshape([B, S, -1, self.head_dim])
        k_BSKD = self.k_norm(k(x_BSH)).reshape([B, S, -1, self.head_dim])
        return q_BSND, k_BSKD, v(x_BSH).reshape([B, S, -1, self.head_dim])

    def recipe(self) -> AttentionRecipe | None:
        return self._recipe(whole_norms=True)


class Olmo2Block(nn.Layer):
    """Attention and MLP, each followed by a norm and added to the residual stream."""

    def __init__(self, self_attn: nn.Layer, mlp: nn.Layer, norm: Any) -> None:
        super().__init__()
        self.self_attn, self.mlp = self_attn, mlp
        self.post_attention_layernorm, self.post_feedforward_layernorm = norm(), norm()

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = x_BSH + self.post_attention_layernorm(self.self_attn(x_BSH, state))
        return x_BSH + self.post_feedforward_layernorm(self.mlp(x_BSH))

    def recipe(self) -> BlockRecipe | None:
        norms = {
            "after_attention": self.post_attention_layernorm,
            "after_mlp": self.post_feedforward_layernorm,
        }
        return block_recipe(self, norms, attention=self.self_attn, mlp=self.mlp)


@register_model("olmo2")
class Olmo2ForCausalLM(LlamaForCausalLM):
    """Llama's parts with the norms elsewhere."""

    config_class: Any = transformers.Olmo2Config

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        head_dim = getattr(config, "head_dim", None)
        return Olmo2Attention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            head_dim or config.hidden_size // config.num_attention_heads,
            layer,
            bias=config.attention_bias,
            dropout=config.attention_dropout,
            eps=config.rms_norm_eps,
        )

    @classmethod
    def make_mlp(cls, config: Any, layer: int) -> nn.Layer:
        return GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)

    @classmethod
    def make_block(cls, config: Any, layer: int) -> nn.Layer:
        return Olmo2Block(
            self_attn=cls.make_attention(config, layer),
            mlp=cls.make_mlp(config, layer),
            norm=partial(cls.make_norm, config),
        )
