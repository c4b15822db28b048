"""BART encoder-decoder: learned positions, post-norm blocks.

Source: arXiv:1910.13461; checkpoints `facebook/bart-*`.
Shape letters: B batch, S sequence, H hidden, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.generation import GenerationMixin
from hfpaddle.layers import Attention, Dropout, Embedding, LayerNorm, Linear, activation
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.decoder import keep_positions
from hfpaddle.modeling.encoder_decoder import (
    Seq2SeqForConditionalGeneration,
    Seq2SeqForQuestionAnswering,
    Seq2SeqForSequenceClassification,
    Seq2SeqModel,
    SourceAttention,
    Stack,
    clamp_half,
)
from hfpaddle.modeling.losses import token_loss
from hfpaddle.modeling.outputs import CausalLMOutputWithCrossAttentions
from hfpaddle.modeling.registry import register_model

# The position table begins with two rows that no token uses.
OFFSET = 2
NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")
OLD_BUFFERS = (Drop("*encoder.version"), Drop("*decoder.version"))


class BartScaledWordEmbedding(Embedding):
    """Token table whose rows are multiplied by ``embed_scale``."""

    def __init__(self, rows: int, size: int, padding_idx: int | None, embed_scale: float) -> None:
        super().__init__(rows, size, padding_idx)
        self.embed_scale = embed_scale

    def forward(self, ids_BS: paddle.Tensor) -> paddle.Tensor:
        x_BSH = super().forward(ids_BS)
        return x_BSH if self.embed_scale == 1.0 else x_BSH * self.embed_scale


class BartBlock(nn.Layer):
    """Attention, in decoders attention to the source, and MLP, each normed after it is added.

    Args:
        layer: place in the cache.
        causal: whether this is a decoder's block.
        dropouts: of what is added, of attention weights, of the MLP's inner values.
        layerdrop: probability of skipping the whole block, while training.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        inner_size: int,
        layer: int,
        causal: bool,
        act: str,
        dropouts: tuple[float, float, float],
        layerdrop: float,
    ) -> None:
        super().__init__()
        sizes = (hidden_size, num_heads, num_heads, hidden_size // num_heads, layer)
        options = {"bias": True, "dropout": dropouts[1], "names": NAMES}
        order = ("k_proj", "v_proj", "q_proj", "out_proj")
        self.self_attn = in_order(Attention(*sizes, rope=None, **options), *order)
        self.self_attn_layer_norm = LayerNorm(hidden_size)
        if causal:
            self.encoder_attn = in_order(SourceAttention(*sizes, **options), *order)
            self.encoder_attn_layer_norm = LayerNorm(hidden_size)
        self.fc1, self.fc2 = Linear(hidden_size, inner_size), Linear(inner_size, hidden_size)
        self.final_layer_norm = LayerNorm(hidden_size)
        self.activation_fn = activation(act)
        self.dropout, self.activation_dropout = Dropout(dropouts[0]), Dropout(dropouts[2])
        self.layerdrop = layerdrop

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        if self.training and self.layerdrop and float(paddle.rand([])) < self.layerdrop:
            return x_BSH
        x_BSH = self.self_attn_layer_norm(x_BSH + self.dropout(self.self_attn(x_BSH, state)))
        if "source" in state.extra:
            h_BSH = self.dropout(self.encoder_attn(x_BSH, state))
            x_BSH = self.encoder_attn_layer_norm(x_BSH + h_BSH)
        h_BSH = self.activation_dropout(self.activation_fn(self.fc1(x_BSH)))
        return clamp_half(self.final_layer_norm(x_BSH + self.dropout(self.fc2(h_BSH))))


class BartPreTrainedModel(PreTrainedModel):
    """What all BART models share: config and names."""

    config_class = transformers.BartConfig
    key_map = KeyMap(
        (
            *OLD_BUFFERS,
            *(
                Tie(f"{prefix}{side}.embed_tokens.weight", f"{prefix}shared.weight")
                for prefix in ("", "model.")
                for side in ("encoder", "decoder")
            ),
            Tie("lm_head.weight", "model.shared.weight"),
        )
    )
    # Each stack knows its side without is_decoder; one head reads classifier_dropout.
    neutral_config_keys = frozenset(("is_decoder", "classifier_dropout"))


class BartStack(Stack, BartPreTrainedModel):
    """Encoder or decoder, with a table of positions and a norm before the blocks."""

    def __init__(self, config: transformers.BartConfig, causal: bool, depth: int) -> None:
        super().__init__(config, causal, depth)
        self.embed_positions = Embedding(config.max_position_embeddings + OFFSET, config.d_model)
        self.layernorm_embedding = LayerNorm(config.d_model)
        in_order(self, "layers", "layernorm_embedding")
        self.dropout = Dropout(config.dropout)

    @staticmethod
    def make_embedding(config: transformers.BartConfig) -> BartScaledWordEmbedding:
        scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0
        return BartScaledWordEmbedding(
            config.vocab_size, config.d_model, config.pad_token_id, scale
        )

    @staticmethod
    def make_block(config: transformers.BartConfig, causal: bool, layer: int) -> BartBlock:
        side = "decoder" if causal else "encoder"
        return BartBlock(
            config.d_model,
            getattr(config, f"{side}_attention_heads"),
            getattr(config, f"{side}_ffn_dim"),
            layer,
            causal,
            config.activation_function,
            (config.dropout, config.attention_dropout, config.activation_dropout),
            getattr(config, f"{side}_layerdrop"),
        )

    def enter(self, x_BSH: paddle.Tensor, past: int) -> paddle.Tensor:
        positions_S = paddle.arange(past, past + x_BSH.shape[1]).to(x_BSH.place) + OFFSET
        return self.dropout(self.layernorm_embedding(x_BSH + self.embed_positions(positions_S)))


class BartEncoder(BartStack):
    """The encoder."""

    def __init__(self, config: transformers.BartConfig) -> None:
        super().__init__(config, False, config.encoder_layers)


class BartDecoder(BartStack):
    """The decoder."""

    def __init__(self, config: transformers.BartConfig) -> None:
        super().__init__(config, True, config.decoder_layers)


class BartModel(Seq2SeqModel, BartPreTrainedModel):
    """Encoder and decoder."""

    starts_from_source = True

    def __init__(self, config: transformers.BartConfig) -> None:
        super().__init__(config)
        self.shared = BartStack.make_embedding(config)
        self.encoder, self.decoder = BartEncoder(config), BartDecoder(config)


@register_model("bart")
class BartForConditionalGeneration(Seq2SeqForConditionalGeneration, BartPreTrainedModel):
    """Encoder and decoder with a vocabulary projection, to which a stored bias is added."""

    cache_with_labels = False
    optional_keys = ("final_logits_bias",)
    plan = {
        "model.{encoder,decoder}.layers.*.{self_attn,encoder_attn}.{q,k,v}_proj": "colwise",
        "model.{encoder,decoder}.layers.*.{self_attn,encoder_attn}.out_proj": "rowwise",
        "model.{encoder,decoder}.layers.*.fc1": "colwise",
        "model.{encoder,decoder}.layers.*.fc2": "rowwise",
    }

    def __init__(self, config: transformers.BartConfig) -> None:
        super().__init__(config)
        self.model = BartModel(config)
        self.register_buffer("final_logits_bias", paddle.zeros([1, config.vocab_size]))
        self.lm_head = Linear(config.d_model, config.vocab_size, bias=False)

    def score(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        logits_BSV = self.lm_head(x_BSH)
        return logits_BSV + self.final_logits_bias.astype(logits_BSV.dtype)

    def _after_resize(self, rows: int) -> None:
        bias = self.final_logits_bias
        more = rows - bias.shape[1]
        self.final_logits_bias = F.pad(bias, [0, more]) if more > 0 else bias[:, :rows]


class BartForSequenceClassification(Seq2SeqForSequenceClassification, BartPreTrainedModel):
    """Both stacks and a classifier of the decoder's last end token."""

    def add_model(self, config: transformers.BartConfig) -> None:
        self.model = BartModel(config)


class BartForQuestionAnswering(Seq2SeqForQuestionAnswering, BartPreTrainedModel):
    """Both stacks and a score of each decoder token as start and end."""

    def __init__(self, config: transformers.BartConfig) -> None:
        config.num_labels = 2
        super().__init__(config)

    def add_model(self, config: transformers.BartConfig) -> None:
        self.model = BartModel(config)


class BartDecoderWrapper(BartPreTrainedModel):
    """The checkpoint's ``model.decoder`` without an encoder."""

    embedding_path = "decoder.embed_tokens"

    def __init__(self, config: transformers.BartConfig) -> None:
        super().__init__(config)
        self.decoder = BartDecoder(config)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.decoder(*args, **kwargs)


class BartForCausalLM(BartPreTrainedModel, GenerationMixin):
    """The decoder alone with a vocabulary projection; it attends to a source only if given one."""

    output_embedding_path = "lm_head"
    key_map = KeyMap((*OLD_BUFFERS, Tie("lm_head.weight", "model.decoder.embed_tokens.weight")))
    neutral_config_keys = BartPreTrainedModel.neutral_config_keys | {
        *("encoder_layers", "encoder_ffn_dim", "encoder_attention_heads", "encoder_layerdrop"),
    }

    def __init__(self, config: transformers.BartConfig) -> None:
        config.is_decoder, config.is_encoder_decoder = True, False
        super().__init__(config)
        self.model = BartDecoderWrapper(config)
        self.lm_head = Linear(config.d_model, config.vocab_size, bias=False)

    def get_decoder(self) -> BartDecoder:
        return self.model.decoder

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        encoder_hidden_states: paddle.Tensor | None = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        labels: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | paddle.Tensor = 0,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Score the next token at each position.

        Args:
            labels: ``[B, S]``, already shifted: each is compared with its own position's logits.
            logits_to_keep: only the last so many positions (0: all), or a 1-D index tensor.
        Returns: CausalLMOutputWithCrossAttentions with logits ``[B, S, V]``.
        """
        outputs = self.model.decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        logits_BSV = self.lm_head(keep_positions(outputs.last_hidden_state, logits_to_keep))
        output = CausalLMOutputWithCrossAttentions(
            loss=None if labels is None else token_loss(logits_BSV, labels),
            logits=logits_BSV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )
        return output.to_tuple() if return_dict is False else output
