"""Qwen3-MoE decoder: Qwen3 attention with sparse experts in most layers.

Source: arXiv:2505.09388; checkpoints `Qwen/Qwen3-30B-A3B` and its kin.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import transformers
from paddle import nn

from hfpaddle.layers import Attention, GatedMLP, RMSNorm
from hfpaddle.layers.moe import SparseMoe, TopKRouter
from hfpaddle.layers.parameter import in_order
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM
from hfpaddle.models.mixtral import MixtralForCausalLM, MixtralModel


class Qwen3MoeModel(MixtralModel):
    """A backbone whose sparse layers can tell their router logits."""


@register_model("qwen3_moe")
class Qwen3MoeForCausalLM(MixtralForCausalLM):
    """Llama blocks whose MLP is sparse every ``decoder_sparse_step`` layers."""

    config_class: Any = transformers.Qwen3MoeConfig
    model_class: Any = Qwen3MoeModel
    qa_prefix = "transformer"
    # use_sliding_window only decides sliding_window, which is read. The rest is read by the layers
    # that have it: a model of sparse layers alone has no use for the dense size, and conversely.
    neutral_config_keys = MixtralForCausalLM.neutral_config_keys | {
        "use_sliding_window",
        "intermediate_size",
        "moe_intermediate_size",
        "norm_topk_prob",
    }
    plan = LlamaForCausalLM.plan | {
        "model.layers.*.mlp.experts.*.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.experts.*.down_proj": "rowwise",
    }

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
            qk_norm=partial(RMSNorm, eps=config.rms_norm_eps),
        )

    @staticmethod
    def is_sparse(config: Any, layer: int) -> bool:
        every = (layer + 1) % config.decoder_sparse_step == 0
        return layer not in config.mlp_only_layers and config.num_experts > 0 and every

    @classmethod
    def make_moe(cls, config: Any) -> nn.Layer:
        H, E = config.hidden_size, config.num_experts
        router = TopKRouter(H, E, config.num_experts_per_tok, config.norm_topk_prob)
        expert = partial(GatedMLP, H, config.moe_intermediate_size, config.hidden_act)
        return in_order(SparseMoe(router, E, expert), "gate")

    @classmethod
    def make_mlp(cls, config: Any, layer: int) -> nn.Layer:
        if cls.is_sparse(config, layer):
            return cls.make_moe(config)
        return GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)

    @classmethod
    def make_block(cls, config: Any, layer: int) -> Any:
        return super(MixtralForCausalLM, cls).make_block(config, layer)
