"""Qwen2-MoE decoder: sparse experts beside one that every token uses.

Source: arXiv:2407.10671, section 2.2; checkpoints `Qwen/Qwen1.5-MoE-A2.7B`, `Qwen/Qwen2-57B-A14B`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle.layers import Attention, GatedMLP, Linear
from hfpaddle.layers.moe import SparseMoe, TopKRouter
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.mixtral import MixtralModel
from hfpaddle.models.qwen3_moe import Qwen3MoeForCausalLM


class SharedExpertMoe(SparseMoe):
    """Adds one gated expert that sees every token."""

    def __init__(self, gate: nn.Layer, num_experts: int, expert: Any, shared: GatedMLP) -> None:
        super().__init__(gate, num_experts, expert)
        self.shared_expert = shared
        self.shared_expert_gate = Linear(gate.in_features, 1, bias=False)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        share = F.sigmoid(self.shared_expert_gate(x_BSH))
        return super().forward(x_BSH) + share * self.shared_expert(x_BSH)


class Qwen2MoeModel(MixtralModel):
    """A backbone whose sparse layers can tell their router logits."""


@register_model("qwen2_moe")
class Qwen2MoeForCausalLM(Qwen3MoeForCausalLM):
    """Qwen3-MoE blocks with a shared expert, biases instead of head norms, and window layers."""

    config_class: Any = transformers.Qwen2MoeConfig
    model_class: Any = Qwen2MoeModel
    qa_prefix = "model"
    # max_window_layers only derives layer_types, which is read; the size as in Qwen3-MoE.
    neutral_config_keys = Qwen3MoeForCausalLM.neutral_config_keys | {
        "max_window_layers",
        "shared_expert_intermediate_size",
    }

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
            bias=config.qkv_bias,
            out_bias=False,
            dropout=config.attention_dropout,
            layer_type=cls.layer_types(config)[layer],
        )

    @classmethod
    def make_moe(cls, config: Any) -> nn.Layer:
        H, E, act = config.hidden_size, config.num_experts, config.hidden_act
        return SharedExpertMoe(
            TopKRouter(H, E, config.num_experts_per_tok, config.norm_topk_prob),
            E,
            partial(GatedMLP, H, config.moe_intermediate_size, act),
            GatedMLP(H, config.shared_expert_intermediate_size, act),
        )
