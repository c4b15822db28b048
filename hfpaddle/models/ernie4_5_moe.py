"""ERNIE 4.5 mixture-of-experts decoder: ERNIE 4.5 with sparse layers and shared experts.

Source: ERNIE 4.5 Technical Report (Baidu, 2025); checkpoints `baidu/ERNIE-4.5-21B-A3B-PT`.
Shape letters: B batch, S sequence, H hidden, T tokens (B * S), E experts, k experts a token.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle import ops
from hfpaddle.converters.keymap import Drop, KeyMap
from hfpaddle.layers import GatedMLP, Linear, RMSNorm, parameter
from hfpaddle.layers.moe import Router, Routing, SparseMoe
from hfpaddle.modeling.decoder import DecoderBlock, DecoderForCausalLM
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.ernie4_5 import Ernie4_5Attention
from hfpaddle.models.mixtral import MixtralForCausalLM, MixtralModel


class MoeStatics(nn.Layer):
    """Holds the correction of each expert's score, which training adjusts by hand."""

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.e_score_correction_bias = parameter([1, num_experts])
        self.e_score_correction_bias.stop_gradient = True


class Ernie4_5SparseMoe(SparseMoe):  # noqa: N801  named after its family
    """Chooses experts by corrected probability, weighs them by their own; adds shared experts.

    Args:
        hidden_size, num_experts, top_k: H, E, k.
        norm_min: least sum that the weights of a token are divided by.
        make_expert, shared_experts: see `SparseMoe`; an MLP for every token, or None.
    """

    def __init__(
        self,
        hidden_size: int,
        num_experts: int,
        top_k: int,
        norm_min: float,
        make_expert: partial,
        shared_experts: nn.Layer | None,
    ) -> None:
        super().__init__(Router(hidden_size, num_experts, bias=False), num_experts, make_expert)
        self.top_k, self.norm_min = top_k, norm_min
        self.moe_statics, self.shared_experts = MoeStatics(num_experts), shared_experts

    def route(self, x_TH: paddle.Tensor) -> Routing:
        weight_EH = self.gate.weight.astype("float32")
        logits_TE = ops.linear(x_TH.astype("float32"), weight_EH)
        probabilities_TE = F.softmax(logits_TE, axis=-1)
        correction_1E = self.moe_statics.e_score_correction_bias.astype("float32")
        index_Tk = paddle.topk(probabilities_TE + correction_1E, self.top_k, axis=-1)[1]
        weights_Tk = paddle.take_along_axis(probabilities_TE, index_Tk, axis=-1)
        total_T1 = weights_Tk.sum(axis=-1, keepdim=True)
        weights_Tk = weights_Tk / paddle.clip(total_T1, min=self.norm_min)
        return logits_TE, weights_Tk.astype(x_TH.dtype), index_Tk

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        routed_BSH = super().forward(x_BSH)
        if self.shared_experts is None:
            return routed_BSH
        return routed_BSH + self.shared_experts(x_BSH)


class Ernie4_5_MoeModel(MixtralModel):  # noqa: N801  the original's name
    """The backbone; its routers stay in float32."""

    # Layers that predict further tokens; the original ignores them too.
    key_map = MixtralForCausalLM.key_map + KeyMap((Drop("*mtp*"),))
    keep_in_float32 = ("gate.weight", "moe_statics")


@register_model("ernie4_5_moe")
class Ernie4_5_MoeForCausalLM(MixtralForCausalLM):  # noqa: N801  the original's name
    """ERNIE's attention; each ``moe_layer_interval``-th layer of a range is sparse."""

    config_class = transformers.Ernie4_5_MoeConfig
    model_class = Ernie4_5_MoeModel
    key_map = Ernie4_5_MoeModel.key_map
    # The first is read by dense layers alone, those that follow by sparse layers alone.
    neutral_config_keys = MixtralForCausalLM.neutral_config_keys | frozenset(
        """
        intermediate_size moe_intermediate_size moe_k moe_norm_min moe_num_experts
        moe_num_shared_experts
        """.split()
    )
    plan = {
        "model.layers.*.self_attn.{q,k,v}_proj": "colwise",
        "model.layers.*.self_attn.o_proj": "rowwise",
        "model.layers.*.mlp.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.down_proj": "rowwise",
        "model.layers.*.mlp.shared_experts.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.shared_experts.down_proj": "rowwise",
        "model.layers.*.mlp.experts.*.{gate,up}_proj": "colwise",
        "model.layers.*.mlp.experts.*.down_proj": "rowwise",
    }
    layer_types = staticmethod(DecoderForCausalLM.layer_types)

    @staticmethod
    def make_head(config: Any) -> Linear:
        return Linear(config.hidden_size, config.vocab_size, config.use_bias)

    @staticmethod
    def make_mlp(config: Any, layer: int) -> nn.Layer:
        H, bias = config.hidden_size, config.use_bias
        first, last = config.moe_layer_start_index, config.moe_layer_end_index
        in_step = (layer + 1) % config.moe_layer_interval == 0
        mlp = partial(GatedMLP, H, act=config.hidden_act)
        if not (in_step and first <= layer <= last):
            return mlp(config.intermediate_size, bias=bias)
        size, shared = config.moe_intermediate_size, config.moe_num_shared_experts
        return Ernie4_5SparseMoe(
            H,
            config.moe_num_experts,
            config.moe_k,
            config.moe_norm_min,
            make_expert=partial(mlp, size),
            shared_experts=mlp(size * shared, bias=bias) if shared > 0 else None,
        )

    @classmethod
    def make_block(cls, config: Any, layer: int) -> DecoderBlock:
        head_dim = getattr(config, "head_dim", None)
        return DecoderBlock(
            self_attn=Ernie4_5Attention(
                config.hidden_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                head_dim or config.hidden_size // config.num_attention_heads,
                layer,
                bias=config.use_bias,
            ),
            mlp=cls.make_mlp(config, layer),
            norm=partial(RMSNorm, config.hidden_size, config.rms_norm_eps),
        )
