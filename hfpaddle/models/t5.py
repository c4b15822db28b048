"""T5 encoder-decoder (1.0, 1.1, Flan): relative position biases, norms without means or biases.

Source: arXiv:1910.10683; checkpoints `google-t5/*`, `google/t5-v1_1-*`, `google/flan-t5-*`.
Shape letters: B batch, S queries, T keys, H hidden, N heads, V vocabulary, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import transformers
from paddle import nn

from hfpaddle.backends import compute_dtype
from hfpaddle.converters.keymap import Drop, KeyMap, Tie
from hfpaddle.layers import Attention, Dropout, Embedding, Linear, RMSNorm, activation
from hfpaddle.layers.buckets import position_buckets
from hfpaddle.layers.parameter import fill, initialized, redrawn
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.encoder_decoder import (
    EncoderDecoder,
    Seq2SeqForConditionalGeneration,
    Seq2SeqForQuestionAnswering,
    Seq2SeqForSequenceClassification,
    Seq2SeqModel,
    SourceAttention,
    Stack,
    clamp_half,
)
from hfpaddle.modeling.losses import token_loss
from hfpaddle.modeling.outputs import TokenClassifierOutput
from hfpaddle.modeling.registry import register_model


class T5LayerNorm(RMSNorm):
    """`RMSNorm` whose result has the dtype that its weight computes in, whatever came in."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        dtype = compute_dtype(self.weight.dtype, self.weight.place)
        return super().forward(x).astype(dtype)


class T5DenseActDense(nn.Layer):
    """``wo(dropout(act(wi(x))))``, or with ``gated`` ``wo(dropout(act(wi_0(x)) * wi_1(x)))``."""

    def __init__(
        self, hidden_size: int, inner_size: int, act: str, gated: bool, dropout: float, std: float
    ) -> None:
        super().__init__()
        self.names = ("wi_0", "wi_1") if gated else ("wi",)
        for name in self.names:
            setattr(self, name, Linear(hidden_size, inner_size, bias=False))
        self.wo = Linear(inner_size, hidden_size, bias=False)
        first = dict.fromkeys(self.names, std * hidden_size**-0.5)
        redrawn(self, **first, wo=std * inner_size**-0.5)
        self.act, self.dropout = activation(act), Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        first, *rest = (getattr(self, name)(x_BSH) for name in self.names)
        h = self.act(first)
        h = self.dropout(h * rest[0] if rest else h)
        # In float16 models this weight stays in float32: its products overflow.
        return self.wo(h.astype("float32") if self.wo.weight.dtype == paddle.float32 else h)


class T5Sublayer(nn.Layer):
    """``x + dropout(inner(layer_norm(x)))``; ``name`` is what checkpoints call ``inner``."""

    def __init__(self, name: str, inner: nn.Layer, norm: nn.Layer, dropout: float) -> None:
        super().__init__()
        setattr(self, name, inner)
        self.name, self.layer_norm, self.dropout = name, norm, Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        out_BSH = self.dropout(getattr(self, self.name)(self.layer_norm(x_BSH), state))
        wide = paddle.float32 if paddle.float32 in (x_BSH.dtype, out_BSH.dtype) else x_BSH.dtype
        return clamp_half(x_BSH.astype(wide) + out_BSH.astype(wide))


class T5Block(nn.Layer):
    """The checkpoint's ``layer.*``: own attention, in decoders the source's, and an MLP."""

    def __init__(self, sublayers: list[T5Sublayer]) -> None:
        super().__init__()
        self.layer = nn.LayerList(sublayers)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        for sublayer in self.layer:
            x_BSH = sublayer(x_BSH, state)
        return x_BSH


class T5PreTrainedModel(PreTrainedModel):
    """What all T5 models share: config, names, initial weights."""

    config_class = transformers.T5Config
    base_model_prefix = "transformer"
    key_map = KeyMap(
        (
            # A table that no computation reads.
            Drop("*decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"),
            *(
                Tie(f"{prefix}{side}.embed_tokens.weight", f"{prefix}shared.weight")
                for prefix in ("", "transformer.")
                for side in ("encoder", "decoder")
            ),
            Tie("lm_head.weight", "shared.weight"),
        )
    )
    # dense_act_fn and is_gated_act, which are read, come from feed_forward_proj; each stack knows
    # its side without is_decoder; heads read classifier_dropout, models with a decoder its depth.
    neutral_config_keys = frozenset(
        ("feed_forward_proj", "is_decoder", "classifier_dropout", "num_decoder_layers")
    )
    keep_in_float32_from_half = ("wo",)

    def _init_weights(self, layer: nn.Layer) -> None:
        if isinstance(layer, T5LayerNorm) and not initialized(layer.weight):
            fill(layer.weight, self.config.initializer_factor)
        super()._init_weights(layer)


class T5Stack(Stack, T5PreTrainedModel):
    """Encoder or decoder; the first block holds the table of position biases that all add."""

    blocks_name = "block"

    def __init__(self, config: transformers.T5Config, causal: bool, depth: int) -> None:
        super().__init__(config, causal, depth)
        self.buckets = config.relative_attention_num_buckets
        self.max_distance = config.relative_attention_max_distance
        first, std = self.block[0].layer[0].SelfAttention, config.initializer_factor
        first.relative_attention_bias = Embedding(self.buckets, config.num_heads)
        redrawn(first, relative_attention_bias=std * config.d_model**-0.5)
        self.final_layer_norm = self.make_norm(config)
        self.dropout = Dropout(config.dropout_rate)

    @staticmethod
    def make_embedding(config: transformers.T5Config) -> Embedding:
        return Embedding(config.vocab_size, config.d_model)

    @staticmethod
    def make_norm(config: transformers.T5Config) -> T5LayerNorm:
        return T5LayerNorm(config.d_model, config.layer_norm_epsilon)

    @staticmethod
    def make_attention(config: transformers.T5Config, kind: type, layer: int) -> Attention:
        H, N, D, std = config.d_model, config.num_heads, config.d_kv, config.initializer_factor
        options = {"dropout": config.dropout_rate, "names": ("q", "k", "v", "o")}
        options |= {} if kind is SourceAttention else {"rope": None}
        # Scores are not scaled: the initial weights of the queries are small instead.
        attention = kind(H, N, N, D, layer, scale=1.0, **options)
        sizes = {"q": H * D, "k": H, "v": H, "o": N * D}
        return redrawn(attention, **{name: std * size**-0.5 for name, size in sizes.items()})

    @classmethod
    def make_block(cls, config: transformers.T5Config, causal: bool, layer: int) -> T5Block:
        inner = [("SelfAttention", cls.make_attention(config, Attention, layer))]
        if causal:
            inner.append(("EncDecAttention", cls.make_attention(config, SourceAttention, layer)))
        dense = T5DenseActDense(
            *(config.d_model, config.d_ff, config.dense_act_fn, config.is_gated_act),
            *(config.dropout_rate, config.initializer_factor),
        )
        inner.append(("DenseReluDense", dense))
        return T5Block(
            [T5Sublayer(*named, cls.make_norm(config), config.dropout_rate) for named in inner]
        )

    def enter(self, x_BSH: paddle.Tensor, past: int) -> paddle.Tensor:
        return self.dropout(x_BSH)

    def position_bias(self, queries: int, keys: int, past: int) -> paddle.Tensor:
        table = self.block[0].layer[0].SelfAttention.relative_attention_bias
        distances = np.arange(keys)[None, :] - np.arange(past, past + queries)[:, None]
        buckets = position_buckets(distances, not self.causal, self.buckets, self.max_distance)
        bias_STN = table(paddle.to_tensor(buckets, place=table.weight.place))
        return bias_STN.transpose([2, 0, 1]).unsqueeze(0).astype("float32")

    def finish(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.dropout(self.final_layer_norm(x_BSH))


def add_stacks(model: Any, config: transformers.T5Config) -> None:
    """Give ``model`` the shared embedding and both stacks."""
    model.shared = T5Stack.make_embedding(config)
    model.encoder = T5Stack(config, False, config.num_layers)
    model.decoder = T5Stack(config, True, config.num_decoder_layers)
    redrawn(model, shared=config.initializer_factor)


class T5Model(Seq2SeqModel, T5PreTrainedModel):
    """Encoder and decoder."""

    def __init__(self, config: transformers.T5Config) -> None:
        super().__init__(config)
        add_stacks(self, config)


@register_model("t5")
class T5ForConditionalGeneration(Seq2SeqForConditionalGeneration, T5PreTrainedModel):
    """Encoder and decoder with a vocabulary projection."""

    plan = {
        "{encoder,decoder}.block.*.layer.*.{SelfAttention,EncDecAttention}.{q,k,v}": "colwise",
        "{encoder,decoder}.block.*.layer.*.{SelfAttention,EncDecAttention}.o": "rowwise",
        "{encoder,decoder}.block.*.layer.*.DenseReluDense.{wi,wi_0,wi_1}": "colwise",
        "{encoder,decoder}.block.*.layer.*.DenseReluDense.wo": "rowwise",
    }

    def __init__(self, config: transformers.T5Config) -> None:
        super().__init__(config)
        add_stacks(self, config)
        self.lm_head = Linear(config.d_model, config.vocab_size, bias=False)
        if not config.tie_word_embeddings:
            redrawn(self, lm_head=config.initializer_factor)
        # True unless config.json says that the projection is not the embedding (1.1, Flan).
        self.scaled = config.scale_decoder_outputs

    def score(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.lm_head(x_BSH * x_BSH.shape[-1] ** -0.5 if self.scaled else x_BSH)


class T5EncoderModel(EncoderDecoder, T5PreTrainedModel):
    """The encoder alone."""

    key_map = KeyMap((Drop("decoder.*"), Drop("lm_head.weight"))) + T5PreTrainedModel.key_map

    def __init__(self, config: transformers.T5Config) -> None:
        config.use_cache = config.is_encoder_decoder = False
        super().__init__(config)
        self.shared = T5Stack.make_embedding(config)
        self.encoder = T5Stack(config, False, config.num_layers)
        redrawn(self, shared=config.initializer_factor)

    def forward(
        self, input_ids=None, attention_mask=None, inputs_embeds=None, return_dict=None, **kwargs
    ) -> Any:
        """Return BaseModelOutput; arguments as for `Stack`."""
        given = {"inputs_embeds": inputs_embeds, "return_dict": return_dict, **kwargs}
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask, **given)


class T5ForSequenceClassification(Seq2SeqForSequenceClassification, T5PreTrainedModel):
    """Both stacks and a classifier of the decoder's last end token."""

    def __init__(self, config: transformers.T5Config) -> None:
        super().__init__(config)
        std = config.initializer_factor * config.d_model**-0.5
        redrawn(self.classification_head, dense=std, out_proj=std)

    def add_model(self, config: transformers.T5Config) -> None:
        self.transformer = T5Model(config)


class T5ForTokenClassification(T5PreTrainedModel):
    """The encoder and a classifier of each token."""

    embedding_path = "shared"

    def __init__(self, config: transformers.T5Config) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.transformer = T5EncoderModel(config)
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.d_model, config.num_labels)
        redrawn(self, classifier=config.initializer_factor)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        labels=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return TokenClassifierOutput with logits ``[B, S, C]``; label -100 does not count."""
        outputs = self.transformer(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits_BSC = self.classifier(self.dropout(outputs.last_hidden_state))
        output = TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits_BSC, labels),
            logits=logits_BSC,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output.to_tuple() if return_dict is False else output


class T5ForQuestionAnswering(Seq2SeqForQuestionAnswering, T5PreTrainedModel):
    """Both stacks and a score of each decoder token as start and end."""

    def __init__(self, config: transformers.T5Config) -> None:
        super().__init__(config)
        redrawn(self, qa_outputs=config.initializer_factor * config.d_model**-0.5)

    add_model = add_stacks
