"""GPT-2 decoder: learned positions, pre-norm blocks, weights stored ``[in, out]``.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; checkpoints
`openai-community/gpt2*`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

import math
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import Conv1D, Dropout, Embedding, FusedAttention, LayerNorm, activation
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderForCausalLM, DecoderModel, check_inputs
from hfpaddle.modeling.heads import ClassifierForTokenClassification
from hfpaddle.modeling.outputs import CausalLMOutputWithCrossAttentions
from hfpaddle.modeling.registry import register_model
from hfpaddle.modeling.signature import argument_order

ARGUMENTS = (
    *("input_ids", "past_key_values", "attention_mask"),
    *("token_type_ids", "position_ids", "inputs_embeds"),
)


class GPT2Attention(FusedAttention):
    """Multi-head attention whose two projections are `Conv1D`.

    Args:
        upcast: attend in float32.
        out_std: standard deviation of the output projection's initial weights.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        layer: int,
        *,
        upcast: bool,
        out_std: float,
        **kwargs,
    ) -> None:
        head_dim = hidden_size // num_heads
        names = ("c_attn", "c_proj")
        super().__init__(
            hidden_size, num_heads, num_heads, head_dim, layer, rope=None, names=names, **kwargs
        )
        self.upcast = upcast
        self.c_proj = Conv1D(hidden_size, hidden_size)
        self.c_proj.init_std, self.c_proj.init_again = out_std, True

    def make_projections(self, hidden_size: int, bias: bool) -> None:
        self.c_attn = Conv1D(3 * hidden_size, hidden_size)


class GPT2MLP(nn.Layer):
    """``c_proj(act(c_fc(x)))``."""

    def __init__(self, hidden_size: int, inner_size: int, act: str, out_std: float) -> None:
        super().__init__()
        self.c_fc, self.c_proj = Conv1D(inner_size, hidden_size), Conv1D(hidden_size, inner_size)
        self.c_proj.init_std, self.c_proj.init_again = out_std, True
        self.act = activation(act)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.c_proj(self.act(self.c_fc(x_BSH)))


class GPT2Block(nn.Layer):
    """Attention and MLP, each behind a norm, each dropped before it is added."""

    def __init__(
        self, attn: nn.Layer, mlp: nn.Layer, norms: tuple[nn.Layer, nn.Layer], dropout: float
    ) -> None:
        super().__init__()
        self.ln_1, self.attn = norms[0], attn
        self.ln_2, self.mlp = norms[1], mlp
        self.resid_dropout = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = x_BSH + self.resid_dropout(self.attn(self.ln_1(x_BSH), state))
        return x_BSH + self.resid_dropout(self.mlp(self.ln_2(x_BSH)))


class GPTModel(DecoderModel):
    """What GPT-2 and GPT-J share: names, embedding dropout, token types from the same table."""

    embedding_path, layers_name, norm_name = "wte", "h", "ln_f"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.drop = Dropout(config.embd_pdrop)

    def forward(
        self, input_ids=None, *, token_type_ids=None, inputs_embeds=None, **kwargs: Any
    ) -> Any:
        """Run the backbone; ``token_type_ids`` ``[B, S]`` add their rows of the token table."""
        if token_type_ids is not None:
            check_inputs(input_ids, inputs_embeds)
            x_BSH = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
            inputs_embeds = x_BSH + self.embed(token_type_ids)
            input_ids = None
        return super().forward(input_ids, inputs_embeds=inputs_embeds, **kwargs)

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return self.drop(x_BSH)


@argument_order(*ARGUMENTS)
class GPT2Model(GPTModel):
    """The backbone, with a table of positions."""

    def __init__(self, config: transformers.GPT2Config) -> None:
        super().__init__(config)
        self.wpe = Embedding(config.n_positions, config.n_embd)
        in_order(self, "drop", "h", "ln_f")

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return self.drop(x_BSH + self.wpe(state.position_ids))


@register_model("gpt2")
@argument_order(*ARGUMENTS)
class GPT2LMHeadModel(DecoderForCausalLM):
    """Pre-norm blocks; the vocabulary projection is the embedding."""

    config_class = transformers.GPT2Config
    base_model_prefix = "transformer"
    model_class = GPT2Model
    key_map = GPT2Model.key_map = KeyMap(
        (
            # Causal masks that old checkpoints hold as buffers.
            Drop("*.attn.bias"),
            Drop("*.attn.masked_bias"),
            Tie("lm_head.weight", "transformer.wte.weight"),
        )
    )
    # What the classification head of GPT2DoubleHeadsModel alone reads.
    neutral_config_keys = frozenset(
        (
            *("summary_type", "summary_use_proj", "summary_activation"),
            *("summary_proj_to_labels", "summary_first_dropout"),
        )
    )
    head_classes = {"AutoModelForTokenClassification": ClassifierForTokenClassification}
    plan = {
        "transformer.h.*.attn.c_attn": "colwise",
        "transformer.h.*.attn.c_proj": "rowwise",
        "transformer.h.*.mlp.c_fc": "colwise",
        "transformer.h.*.mlp.c_proj": "rowwise",
    }

    @staticmethod
    def make_embedding(config: transformers.GPT2Config) -> Embedding:
        return Embedding(config.vocab_size, config.n_embd)

    @staticmethod
    def make_norm(config: transformers.GPT2Config) -> LayerNorm:
        return LayerNorm(config.n_embd, config.layer_norm_epsilon)

    @classmethod
    def make_rotary(cls, config: transformers.GPT2Config) -> dict:
        return {}

    @classmethod
    def make_block(cls, config: transformers.GPT2Config, layer: int) -> GPT2Block:
        if config.add_cross_attention:
            raise UnsupportedConfigError(
                "gpt2: add_cross_attention=True is not implemented (works: False). Encoder-decoder "
                "families that exist: 't5', 'bart'."
            )
        scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            scale /= layer + 1
        out_std = config.initializer_range / math.sqrt(2 * config.n_layer)
        inner_size = 4 * config.n_embd if config.n_inner is None else config.n_inner
        return GPT2Block(
            GPT2Attention(
                config.n_embd,
                config.n_head,
                layer,
                upcast=config.reorder_and_upcast_attn,
                out_std=out_std,
                scale=scale,
                dropout=config.attn_pdrop,
            ),
            GPT2MLP(config.n_embd, inner_size, config.activation_function, out_std),
            (cls.make_norm(config), cls.make_norm(config)),
            config.resid_pdrop,
        )

    def make_output(self, loss: Any, logits_BSV: paddle.Tensor, outputs: Any) -> Any:
        return CausalLMOutputWithCrossAttentions(**super().make_output(loss, logits_BSV, outputs))
