"""OPT decoder: learned positions counted over real tokens, optional narrower embeddings.

Source: arXiv:2205.01068; checkpoints `facebook/opt-*`.
Shape letters: B batch, S sequence, T tokens with those in the cache, H hidden.
"""

from __future__ import annotations

from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import KeyMap, Tie
from hfpaddle.layers import Attention, Dropout, Embedding, LayerNorm, Linear, activation
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.decoder import DecoderForCausalLM, DecoderModel
from hfpaddle.modeling.heads import DecoderForQuestionAnswering, DecoderForSequenceClassification
from hfpaddle.modeling.registry import register_model
from hfpaddle.modeling.signature import argument_order

ARGUMENTS = ("input_ids", "attention_mask", "past_key_values", "inputs_embeds")
# The position table begins with two rows that no token uses.
OFFSET = 2


class OPTDecoderLayer(nn.Layer):
    """Attention and MLP, normed before each (``norm_first``) or after each is added.

    Args:
        layerdrop: probability of skipping the whole layer, while training.
    """

    def __init__(
        self,
        self_attn: nn.Layer,
        fc: tuple[nn.Layer, nn.Layer],
        norms: tuple[nn.Layer, nn.Layer],
        act: str,
        dropout: float,
        norm_first: bool,
        layerdrop: float,
    ) -> None:
        super().__init__()
        self.self_attn, self.norm_first, self.layerdrop = self_attn, norm_first, layerdrop
        in_order(self_attn, "k_proj", "v_proj", "q_proj", "out_proj")
        self.self_attn_layer_norm, (self.fc1, self.fc2) = norms[0], fc
        self.final_layer_norm = norms[1]
        self.activation_fn = activation(act)
        self.dropout = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        if self.training and self.layerdrop and float(paddle.rand([])) < self.layerdrop:
            return x_BSH
        h_BSH = self.self_attn_layer_norm(x_BSH) if self.norm_first else x_BSH
        x_BSH = x_BSH + self.dropout(self.self_attn(h_BSH, state))
        x_BSH = x_BSH if self.norm_first else self.self_attn_layer_norm(x_BSH)
        h_BSH = self.final_layer_norm(x_BSH) if self.norm_first else x_BSH
        x_BSH = x_BSH + self.dropout(self.fc2(self.activation_fn(self.fc1(h_BSH))))
        return x_BSH if self.norm_first else self.final_layer_norm(x_BSH)


@argument_order(*ARGUMENTS)
class OPTDecoder(DecoderModel):
    """Embeddings, layers and final norm; projections where embeddings are narrower than H."""

    norm_name = "final_layer_norm"

    def __init__(self, config: transformers.OPTConfig) -> None:
        if not config.do_layer_norm_before or config._remove_final_layer_norm:
            self.norm_name = None
        super().__init__(config)
        width, hidden = config.word_embed_proj_dim, config.hidden_size
        self.embed_positions = Embedding(config.max_position_embeddings + OFFSET, hidden)
        narrow = width != hidden
        self.project_out = Linear(hidden, width, bias=False) if narrow else None
        self.project_in = Linear(width, hidden, bias=False) if narrow else None
        in_order(self, *([self.norm_name] if self.norm_name else []), "layers")

    def count_positions(
        self, x_BSH: paddle.Tensor, attention_mask: Any, past: int
    ) -> paddle.Tensor:
        """Count the mask's real tokens."""
        if attention_mask is None or attention_mask.ndim != 2:
            return super().count_positions(x_BSH, attention_mask, past)
        mask_BT = (attention_mask != 0).astype("int64")
        return (mask_BT.cumsum(axis=1) * mask_BT - 1)[:, past:]

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = x_BSH if self.project_in is None else self.project_in(x_BSH)
        return x_BSH + self.embed_positions(state.position_ids + OFFSET)

    def run_blocks(
        self, x_BSH: paddle.Tensor, state: ForwardState, hidden: list | None
    ) -> paddle.Tensor:
        x_BSH = super().run_blocks(x_BSH, state, hidden)
        if self.project_out is not None:
            x_BSH = self.project_out(x_BSH)
            if hidden is not None:
                hidden[-1] = x_BSH
        return x_BSH


class OPTModel(PreTrainedModel):
    """The checkpoint's ``decoder.*``."""

    embedding_path = "decoder.embed_tokens"
    family: Any = None

    def __init__(self, config: transformers.OPTConfig) -> None:
        super().__init__(config)
        self.decoder = OPTDecoder(config)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        past_key_values=None,
        inputs_embeds=None,
        **kwargs,
    ) -> Any:
        """Run the decoder; arguments and result are those of `DecoderModel`."""
        return self.decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )


class OPTSequenceClassification(DecoderForSequenceClassification):
    """Scores what the decoder projects out."""

    def __init__(self, config: transformers.OPTConfig) -> None:
        super().__init__(config)
        self.score = Linear(config.word_embed_proj_dim, config.num_labels, bias=False)


class OPTQuestionAnswering(DecoderForQuestionAnswering):
    """Scores what the decoder projects out."""

    def __init__(self, config: transformers.OPTConfig) -> None:
        super().__init__(config)
        self.qa_outputs = Linear(config.word_embed_proj_dim, 2)


@register_model("opt")
@argument_order(*ARGUMENTS)
class OPTForCausalLM(DecoderForCausalLM):
    """Pre- or post-norm blocks; the vocabulary projection is the embedding."""

    config_class = transformers.OPTConfig
    model_class = OPTModel
    key_map = OPTModel.key_map = KeyMap(
        (Tie("lm_head.weight", "model.decoder.embed_tokens.weight"),)
    )
    head_classes = {
        "AutoModelForSequenceClassification": OPTSequenceClassification,
        "AutoModelForQuestionAnswering": OPTQuestionAnswering,
    }
    plan = {
        "model.decoder.layers.*.self_attn.{q,k,v}_proj": "colwise",
        "model.decoder.layers.*.self_attn.out_proj": "rowwise",
        "model.decoder.layers.*.fc1": "colwise",
        "model.decoder.layers.*.fc2": "rowwise",
    }

    @staticmethod
    def make_embedding(config: transformers.OPTConfig) -> Embedding:
        return Embedding(config.vocab_size, config.word_embed_proj_dim, config.pad_token_id)

    @staticmethod
    def make_norm(config: transformers.OPTConfig) -> LayerNorm:
        affine = config.layer_norm_elementwise_affine
        return LayerNorm(config.hidden_size, elementwise_affine=affine)

    @staticmethod
    def make_head(config: transformers.OPTConfig) -> Linear:
        return Linear(config.word_embed_proj_dim, config.vocab_size, bias=False)

    @classmethod
    def make_rotary(cls, config: transformers.OPTConfig) -> dict:
        return {}

    @classmethod
    def make_block(cls, config: transformers.OPTConfig, layer: int) -> OPTDecoderLayer:
        H, N, bias = config.hidden_size, config.num_attention_heads, config.enable_bias
        return OPTDecoderLayer(
            self_attn=Attention(
                *(H, N, N, H // N, layer),
                bias=bias,
                dropout=config.attention_dropout,
                rope=None,
                names=("q_proj", "k_proj", "v_proj", "out_proj"),
            ),
            fc=(Linear(H, config.ffn_dim, bias), Linear(config.ffn_dim, H, bias)),
            norms=(cls.make_norm(config), cls.make_norm(config)),
            act=config.activation_function,
            dropout=config.dropout,
            norm_first=config.do_layer_norm_before,
            layerdrop=config.layerdrop,
        )


OPTDecoder.family = OPTForCausalLM
