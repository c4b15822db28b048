"""DeepSeek-V3 and R1 decoder: latent attention, and experts chosen by groups.

Source: arXiv:2412.19437, section 2.1; checkpoints `deepseek-ai/DeepSeek-V3`, `DeepSeek-R1`.
Shape letters: B batch, S queries, T keys (in the router: tokens, B * S), H hidden, N heads,
R size of the latent, D plain and P rotary part of a head, V value part, E experts, G groups,
k experts a token.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle import ops
from hfpaddle.converters.keymap import Drop, KeyMap
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import GatedMLP, Linear, RMSNorm
from hfpaddle.layers.attention import masked_attention
from hfpaddle.layers.moe import Router, Routing, SparseMoe
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderBlock
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM
from hfpaddle.models.mixtral import MixtralForCausalLM, MixtralModel

MTP_LAYER = 61  # where released checkpoints keep the layer that predicts a second token


class LatentAttention(nn.Layer):
    """Keys and values of all heads are projections of one latent vector, which is cached.

    Args:
        hidden_size, num_heads: H, N.
        layer_idx: this layer's place in the cache.
        query_rank: size of the queries' own latent, or None to project them directly.
        latent_dim, nope_dim, rope_dim, value_dim: R, D, P, V.
        bias: whether the projections from and to H have one.
        dropout: of the weights, while training.
        interleaved: rotary pairs are neighbours.
        scale: multiplies the scores, besides ``(D + P) ** -0.5``.
    Source: arXiv:2405.04434, section 2.1.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        layer_idx: int,
        *,
        query_rank: int | None,
        latent_dim: int,
        nope_dim: int,
        rope_dim: int,
        value_dim: int,
        bias: bool = False,
        dropout: float = 0.0,
        interleaved: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.layer_idx, self.dropout, self.interleaved = layer_idx, dropout, interleaved
        self.latent_dim, self.nope_dim = latent_dim, nope_dim
        self.rope_dim, self.value_dim = rope_dim, value_dim
        self.head_dim = nope_dim + rope_dim
        self.scale = self.head_dim**-0.5 * scale
        self.low_rank = query_rank is not None
        if query_rank is not None:
            self.q_a_proj = Linear(hidden_size, query_rank, bias)
            self.q_a_layernorm = RMSNorm(query_rank)
            self.q_b_proj = Linear(query_rank, num_heads * self.head_dim, bias=False)
        else:
            self.q_proj = Linear(hidden_size, num_heads * self.head_dim, bias=False)
        self.kv_a_proj_with_mqa = Linear(hidden_size, latent_dim + rope_dim, bias)
        self.kv_a_layernorm = RMSNorm(latent_dim)
        self.kv_b_proj = Linear(latent_dim, num_heads * (nope_dim + value_dim), bias=False)
        self.o_proj = Linear(num_heads * value_dim, hidden_size, bias)

    def queries(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Return the plain ``[B, N, S, D]`` and the rotary ``[B, N, S, P]`` part."""
        B, S, _ = x_BSH.shape
        if self.low_rank:
            q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_BSH)))
        else:
            q = self.q_proj(x_BSH)
        q = q.reshape([B, S, -1, self.head_dim]).transpose([0, 2, 1, 3])
        return q[..., : self.nope_dim], q[..., self.nope_dim :]

    def expand(
        self, latent_B1TR: paddle.Tensor, k_rope_B1TP: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Return keys ``[B, N, T, D + P]`` and values ``[B, N, T, V]`` of what the cache holds."""
        B, _, T, _ = latent_B1TR.shape
        kv = self.kv_b_proj(latent_B1TR.squeeze(1))
        kv = kv.reshape([B, T, -1, self.nope_dim + self.value_dim]).transpose([0, 2, 1, 3])
        k_nope_BNTD, v_BNTV = kv[..., : self.nope_dim], kv[..., self.nope_dim :]
        k_rope_BNTP = k_rope_B1TP.expand([B, k_nope_BNTD.shape[1], T, self.rope_dim])
        return paddle.concat([k_nope_BNTD, k_rope_BNTP], axis=-1), v_BNTV

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        q_nope_BNSD, q_rope_BNSP = self.queries(x_BSH)
        compressed = self.kv_a_proj_with_mqa(x_BSH).unsqueeze(1)
        latent = self.kv_a_layernorm(compressed[..., : self.latent_dim])
        k_rope = compressed[..., self.latent_dim :]
        cos, sin = state.rope["full_attention"]
        # The original moves interleaved pairs apart while rotating. Scores do not depend on the
        # order of elements, as long as queries and keys share it.
        q_rope_BNSP = ops.rotary(q_rope_BNSP, cos, sin, self.interleaved)
        k_rope = ops.rotary(k_rope, cos, sin, self.interleaved)
        if state.cache is not None:
            latent, k_rope = state.cache.update(latent, k_rope, self.layer_idx)
        k, v = self.expand(latent, k_rope)
        out_BSNV = masked_attention(
            paddle.concat([q_nope_BNSD, q_rope_BNSP], axis=-1),
            *(k, v, state.masks["full_attention"], state.attentions),
            scale=self.scale,
            dropout=self.dropout if self.training else 0.0,
        )
        return self.o_proj(out_BSNV.flatten(2))


def rope_scale(rope: dict[str, Any]) -> float:
    """Return what YaRN multiplies the scores by besides its factor on cos and sin."""
    all_dim = rope.get("mscale_all_dim", 0)
    if rope["rope_type"] == "default" or not all_dim or rope["factor"] <= 1:
        return 1.0
    return (0.1 * all_dim * math.log(rope["factor"]) + 1.0) ** 2


class GroupedRouter(Router):
    """Takes the best groups of experts, then the ``top_k`` best experts of these.

    A group's score is the sum of its two best. Choices go by corrected sigmoid scores, weights by
    uncorrected ones.

    Args:
        hidden_size, num_experts, top_k: H, E, k.
        num_groups, top_groups: G, and how many of them remain.
        normalize: the weights of a token are divided by their sum.
        scale: multiplies the weights.
    """

    def __init__(
        self,
        hidden_size: int,
        num_experts: int,
        top_k: int,
        num_groups: int,
        top_groups: int,
        normalize: bool,
        scale: float,
    ) -> None:
        super().__init__(hidden_size, num_experts, bias=False)
        self.top_k, self.num_groups, self.top_groups = top_k, num_groups, top_groups
        self.normalize, self.scale = normalize, scale
        correction = paddle.zeros([num_experts], dtype="float32")
        self.register_buffer("e_score_correction_bias", correction)

    def choose(self, scores_TE: paddle.Tensor) -> paddle.Tensor:
        """Return the indices ``[T, k]`` of the chosen experts."""
        scores_TE = scores_TE.detach() + self.e_score_correction_bias.astype("float32")
        grouped_TGe = scores_TE.reshape([scores_TE.shape[0], self.num_groups, -1])
        group_TG = paddle.topk(grouped_TGe, 2, axis=-1)[0].sum(axis=-1)
        best = paddle.topk(group_TG, self.top_groups, axis=-1)[1]
        kept_TG1 = F.one_hot(best, self.num_groups).sum(axis=1).unsqueeze(-1) > 0
        hidden = paddle.full_like(grouped_TGe, float("-inf"))
        allowed_TE = paddle.where(kept_TG1, grouped_TGe, hidden).reshape(scores_TE.shape)
        return paddle.topk(allowed_TE, self.top_k, axis=-1)[1]

    def forward(self, x_TH: paddle.Tensor) -> Routing:
        """Return logits and weights in float32, and indices."""
        logits_TE = ops.linear(x_TH.astype("float32"), self.weight.astype("float32"))
        scores_TE = F.sigmoid(logits_TE)
        index_Tk = self.choose(scores_TE)
        weights_Tk = paddle.take_along_axis(scores_TE, index_Tk, axis=-1)
        if self.normalize:
            weights_Tk = weights_Tk / (weights_Tk.sum(axis=-1, keepdim=True) + 1e-20)
        return logits_TE, weights_Tk * self.scale, index_Tk


class DeepseekV3Moe(SparseMoe):
    """Routed experts, and shared ones that every token passes."""

    def __init__(self, shared_experts: nn.Layer, *args: Any) -> None:
        super().__init__(*args)
        self.shared_experts = shared_experts
        in_order(self, "gate", "shared_experts")

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return super().forward(x_BSH) + self.shared_experts(x_BSH)


class DeepseekV3Model(MixtralModel):
    """The backbone."""

    key_map = LlamaForCausalLM.key_map + KeyMap((Drop(f"*layers.{MTP_LAYER}.*"),))


@register_model("deepseek_v3")
class DeepseekV3ForCausalLM(LlamaForCausalLM):
    """The first ``first_k_dense_replace`` layers are dense, the others sparse."""

    config_class = transformers.DeepseekV3Config
    model_class = DeepseekV3Model
    key_map = DeepseekV3Model.key_map
    # Read at each call; of layers that only speculative decoding runs; then one that dense layers
    # alone read, and those that sparse layers alone read.
    neutral_config_keys = frozenset(
        """
        output_router_logits num_mtp_layers num_nextn_predict_layers intermediate_size
        moe_intermediate_size n_group n_routed_experts n_shared_experts norm_topk_prob
        num_experts_per_tok routed_scaling_factor topk_group
        """.split()
    )
    plan = {
        "model.layers.*.self_attn.{q,q_b,kv_b}_proj": "colwise",
        "model.layers.*.self_attn.o_proj": "rowwise",
        "model.layers.*.mlp.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.down_proj": "rowwise",
        "model.layers.*.mlp.shared_experts.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.shared_experts.down_proj": "rowwise",
        "model.layers.*.mlp.experts.*.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.experts.*.down_proj": "rowwise",
    }
    make_output = MixtralForCausalLM.make_output

    @staticmethod
    def make_mlp(config: transformers.DeepseekV3Config, layer: int) -> nn.Layer:
        H = config.hidden_size
        mlp = partial(GatedMLP, H, act=config.hidden_act)
        if layer < config.first_k_dense_replace:
            return mlp(config.intermediate_size)
        size, E = config.moe_intermediate_size, config.n_routed_experts
        router = GroupedRouter(
            H,
            E,
            config.num_experts_per_tok,
            config.n_group,
            config.topk_group,
            config.norm_topk_prob,
            config.routed_scaling_factor,
        )
        return DeepseekV3Moe(mlp(size * config.n_shared_experts), router, E, partial(mlp, size))

    @classmethod
    def make_block(cls, config: transformers.DeepseekV3Config, layer: int) -> DecoderBlock:
        if config.num_key_value_heads != config.num_attention_heads:
            raise UnsupportedConfigError(
                f"DeepseekV3Config: num_key_value_heads = {config.num_key_value_heads} is not "
                f"implemented (works: num_attention_heads = {config.num_attention_heads}): every "
                "head has its own projection of the latent vector."
            )
        if layer >= MTP_LAYER:
            raise UnsupportedConfigError(
                f"DeepseekV3Config: num_hidden_layers = {config.num_hidden_layers} is not "
                f"implemented (works: up to {MTP_LAYER}): layer {MTP_LAYER} of a checkpoint is "
                "taken for the one that predicts a second token, and dropped."
            )
        return DecoderBlock(
            self_attn=LatentAttention(
                config.hidden_size,
                config.num_attention_heads,
                layer,
                query_rank=config.q_lora_rank,
                latent_dim=config.kv_lora_rank,
                nope_dim=config.qk_nope_head_dim,
                rope_dim=config.qk_rope_head_dim,
                value_dim=config.v_head_dim,
                bias=config.attention_bias,
                dropout=config.attention_dropout,
                interleaved=bool(config.rope_interleave),
                scale=rope_scale(config.rope_parameters),
            ),
            mlp=cls.make_mlp(config, layer),
            norm=partial(RMSNorm, config.hidden_size, config.rms_norm_eps),
        )
