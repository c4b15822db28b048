"""StableLM decoder: partial rotary positions, layer norms, optional parallel residual.

Source: StableLM 2 technical report, arXiv:2402.17834; checkpoints `stabilityai/stablelm-*`.
Shape letters: B batch, S sequence, H hidden, N heads, D head size.
"""

from __future__ import annotations

from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.layers import Attention, Dropout, GatedMLP, LayerNorm
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


class PerHeadLayerNorm(nn.Layer):
    """A layer norm of its own for each head, without biases."""

    def __init__(self, head_dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.norms = nn.LayerList([LayerNorm(head_dim, eps, bias=False) for _ in range(num_heads)])

    def forward(self, x_BSND: paddle.Tensor) -> paddle.Tensor:
        heads = [norm(x_BSND[:, :, i]) for i, norm in enumerate(self.norms)]
        return paddle.stack(heads, axis=2)


class StableLmAttention(Attention):
    """Attention with `PerHeadLayerNorm` on queries and keys if ``norm_eps`` is given."""

    def __init__(self, *args: Any, norm_eps: float | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.normed = norm_eps is not None
        if norm_eps is not None:
            self.q_layernorm = PerHeadLayerNorm(self.head_dim, self.num_heads, norm_eps)
            self.k_layernorm = PerHeadLayerNorm(self.head_dim, self.num_kv_heads, norm_eps)

    def project(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        q, k, v = super().project(x_BSH)
        return (self.q_layernorm(q), self.k_layernorm(k), v) if self.normed else (q, k, v)


class StableLmBlock(nn.Layer):
    """Attention, then MLP; or both from one norm if ``parallel``."""

    def __init__(
        self, self_attn: nn.Layer, mlp: nn.Layer, size: int, eps: float, parallel: bool, p: float
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp = self_attn, mlp
        self.input_layernorm = LayerNorm(size, eps)
        self.post_attention_layernorm = None if parallel else LayerNorm(size, eps)
        self.dropout = Dropout(p)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.input_layernorm(x_BSH)
        x_BSH = x_BSH + self.self_attn(h_BSH, state)
        if self.post_attention_layernorm is not None:
            h_BSH = self.post_attention_layernorm(x_BSH)
        return x_BSH + self.dropout(self.mlp(h_BSH))


@register_model("stablelm")
class StableLmForCausalLM(LlamaForCausalLM):
    """Blocks as the config describes them; the output projection of attention has no bias."""

    config_class: Any = transformers.StableLmConfig

    @staticmethod
    def make_norm(config: Any) -> nn.Layer:
        return LayerNorm(config.hidden_size, config.layer_norm_eps)

    @classmethod
    def make_attention(cls, config: Any, layer: int) -> Attention:
        return StableLmAttention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.hidden_size // config.num_attention_heads,
            layer,
            bias=config.use_qkv_bias,
            out_bias=False,
            dropout=config.attention_dropout,
            norm_eps=config.layer_norm_eps if config.qk_layernorm else None,
        )

    @classmethod
    def make_block(cls, config: Any, layer: int) -> nn.Layer:
        return StableLmBlock(
            cls.make_attention(config, layer),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            config.hidden_size,
            config.layer_norm_eps,
            parallel=config.use_parallel_residual,
            p=config.hidden_dropout,
        )
