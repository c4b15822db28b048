"""GPT-J decoder: attention and MLP read the same norm; the first pairs of each head rotate.

Source: https://github.com/kingoflolz/mesh-transformer-jax; checkpoints `EleutherAI/gpt-j-6b`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import MLP, Attention, Dropout, Embedding, LayerNorm, Linear, RotaryEmbedding
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderForCausalLM
from hfpaddle.modeling.registry import register_model
from hfpaddle.modeling.signature import argument_order
from hfpaddle.models.gpt2 import ARGUMENTS, GPTModel


class GPTJAttention(Attention):
    """Attention with neighbouring elements paired for rotation, computed in float32."""

    upcast = True


class GPTJBlock(nn.Layer):
    """Attention and MLP side by side behind one norm."""

    def __init__(self, ln_1: nn.Layer, attn: nn.Layer, mlp: nn.Layer, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.attn, self.mlp = ln_1, attn, mlp
        self.resid_dropout = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.ln_1(x_BSH)
        attended_BSH = self.resid_dropout(self.attn(h_BSH, state))
        return attended_BSH + self.resid_dropout(self.mlp(h_BSH)) + x_BSH


@argument_order(*ARGUMENTS)
class GPTJModel(GPTModel):
    """The backbone."""


@register_model("gptj")
@argument_order(*ARGUMENTS)
class GPTJForCausalLM(DecoderForCausalLM):
    """Parallel blocks, and a projection with a bias."""

    config_class = transformers.GPTJConfig
    base_model_prefix = "transformer"
    model_class = GPTJModel
    key_map = GPTJModel.key_map = KeyMap(
        (
            # Causal masks that old checkpoints hold as buffers.
            Drop("*.attn.bias"),
            Drop("*.attn.masked_bias"),
            Tie("lm_head.weight", "transformer.wte.weight"),
        )
    )
    plan = {
        "transformer.h.*.attn.{q,k,v}_proj": "colwise",
        "transformer.h.*.attn.out_proj": "rowwise",
        "transformer.h.*.mlp.fc_in": "colwise",
        "transformer.h.*.mlp.fc_out": "rowwise",
    }

    @staticmethod
    def make_embedding(config: transformers.GPTJConfig) -> Embedding:
        return Embedding(config.vocab_size, config.n_embd)

    @staticmethod
    def make_norm(config: transformers.GPTJConfig) -> LayerNorm:
        return LayerNorm(config.n_embd, config.layer_norm_epsilon)

    @staticmethod
    def make_head(config: transformers.GPTJConfig) -> Linear:
        return Linear(config.n_embd, config.vocab_size)

    @classmethod
    def make_rotary(cls, config: transformers.GPTJConfig) -> dict[str, RotaryEmbedding]:
        size = config.n_embd // config.n_head
        if not config.rotary_dim or config.rotary_dim > size:
            raise UnsupportedConfigError(
                f"gptj: rotary_dim={config.rotary_dim} is not implemented (works: 2 to the head "
                f"size, {size})."
            )
        parameters = {"rope_type": "default", "rope_theta": 10000.0}
        return {
            "full_attention": RotaryEmbedding(config.rotary_dim, parameters, config.n_positions)
        }

    @classmethod
    def make_block(cls, config: transformers.GPTJConfig, layer: int) -> GPTJBlock:
        inner_size = 4 * config.n_embd if config.n_inner is None else config.n_inner
        return GPTJBlock(
            ln_1=cls.make_norm(config),
            attn=in_order(
                GPTJAttention(
                    config.n_embd,
                    config.n_head,
                    config.n_head,
                    config.n_embd // config.n_head,
                    layer,
                    dropout=config.attn_pdrop,
                    rope="interleaved",
                    names=("q_proj", "k_proj", "v_proj", "out_proj"),
                ),
                *("k_proj", "v_proj", "q_proj", "out_proj"),
            ),
            mlp=MLP(
                config.n_embd, inner_size, config.activation_function, names=("fc_in", "fc_out")
            ),
            dropout=config.resid_pdrop,
        )
