"""Phi decoder (1, 1.5, 2): attention and MLP read the same norm; half of each head rotates.

Source: arXiv:2306.11644, arXiv:2309.05463; checkpoints `microsoft/phi-1`, `microsoft/phi-2`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.layers import MLP, Attention, Dropout, LayerNorm, Linear
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderForCausalLM, DecoderModel
from hfpaddle.modeling.registry import register_model


class PhiAttention(Attention):
    """Attention with biases everywhere, and optional layer norms on query and key heads."""

    def __init__(self, *args: Any, qk_layernorm: partial | None, **kwargs: Any) -> None:
        names = ("q_proj", "k_proj", "v_proj", "dense")
        super().__init__(*args, bias=True, names=names, **kwargs)
        self.q_layernorm = qk_layernorm(self.head_dim) if qk_layernorm else None
        self.k_layernorm = qk_layernorm(self.head_dim) if qk_layernorm else None

    def project(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        q_BSND, k_BSKD, v_BSKD = super().project(x_BSH)
        if self.q_layernorm is not None:
            q_BSND, k_BSKD = self.q_layernorm(q_BSND), self.k_layernorm(k_BSKD)
        return q_BSND, k_BSKD, v_BSKD


class PhiBlock(nn.Layer):
    """Attention and MLP side by side behind one norm."""

    def __init__(
        self, self_attn: nn.Layer, mlp: nn.Layer, input_layernorm: nn.Layer, dropout: float
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp, self.input_layernorm = self_attn, mlp, input_layernorm
        self.resid_dropout = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.input_layernorm(x_BSH)
        attended_BSH = self.resid_dropout(self.self_attn(h_BSH, state))
        return attended_BSH + self.resid_dropout(self.mlp(h_BSH)) + x_BSH


class PhiModel(DecoderModel):
    """The backbone; it drops embeddings while training."""

    norm_name = "final_layernorm"

    def __init__(self, config: transformers.PhiConfig) -> None:
        super().__init__(config)
        self.embed_dropout = Dropout(config.embd_pdrop)

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return self.embed_dropout(x_BSH)


@register_model("phi")
class PhiForCausalLM(DecoderForCausalLM):
    """Parallel blocks with layer norms, and a projection with a bias."""

    config_class = transformers.PhiConfig
    model_class = PhiModel
    key_map = PhiModel.key_map = KeyMap(
        (
            Drop("*.rotary_emb.inv_freq"),
            Tie("lm_head.weight", "model.embed_tokens.weight"),
        )
    )
    plan = {
        "model.layers.*.self_attn.{q,k,v}_proj": "colwise",
        "model.layers.*.self_attn.dense": "rowwise",
        "model.layers.*.mlp.fc1": "colwise",
        "model.layers.*.mlp.fc2": "rowwise",
    }

    @staticmethod
    def make_norm(config: transformers.PhiConfig) -> LayerNorm:
        return LayerNorm(config.hidden_size, config.layer_norm_eps)

    @staticmethod
    def make_head(config: transformers.PhiConfig) -> Linear:
        return Linear(config.hidden_size, config.vocab_size)

    @classmethod
    def make_block(cls, config: transformers.PhiConfig, layer: int) -> PhiBlock:
        norm = partial(LayerNorm, eps=config.layer_norm_eps)
        return PhiBlock(
            self_attn=PhiAttention(
                config.hidden_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                config.hidden_size // config.num_attention_heads,
                layer,
                dropout=config.attention_dropout,
                qk_layernorm=norm if config.qk_layernorm else None,
            ),
            mlp=MLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            input_layernorm=cls.make_norm(config),
            dropout=config.resid_pdrop,
        )
