"""ChatGLM2, ChatGLM3 and the first GLM-4: remote-code checkpoints, implemented natively.

transformers has no config of this ``model_type``, so the file brings its own.
Source: arXiv:2406.12793; checkpoints `THUDM/chatglm2-6b`, `THUDM/chatglm3-6b`, `THUDM/glm-4-9b`.
Shape letters: B batch, S sequence, H hidden, N query heads, D head size, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import (
    Dropout,
    Embedding,
    FusedAttention,
    FusedGatedMLP,
    LayerNorm,
    Linear,
    RMSNorm,
    RotaryEmbedding,
)
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderForCausalLM, DecoderModel
from hfpaddle.modeling.heads import DecoderHead
from hfpaddle.modeling.losses import sequence_classification_loss
from hfpaddle.modeling.outputs import SequenceClassifierOutputWithPast
from hfpaddle.modeling.registry import register_model

# Fields by which other architectures of the same ``model_type`` are known.
OTHERS = {
    "position_encoding_2d": "the first ChatGLM",
    "inner_hidden_size": "the first ChatGLM",
    "vision_config": "GLM-4V",
}


class ChatGLMConfig(transformers.PretrainedConfig):
    """Fields of the checkpoints' config.json, with the remote code's defaults.

    Args (those whose name does not say it):
        padded_vocab_size: rows of the embedding and of the output layer.
        kv_channels: size of a head; None for hidden_size / num_attention_heads.
        seq_length: tokens trained on.
        multi_query_attention, multi_query_group_num: key/value heads; without the first, as many
            as query heads, and each head's query, key and value rows follow one another.
        rope_ratio: extends the context: multiplies the rotary base, or divides positions.
        rope_ratio_divides: which of the two. ChatGLM2-6B-32K divides positions, everything after
            it multiplies the base; None decides by the name that config.json holds.
        apply_residual_connection_post_layernorm: the residual stream continues after the norms.
        post_layer_norm: whether the last block is followed by a norm.
    Raises: UnsupportedConfigError for the other architectures of this ``model_type``.
    """

    model_type = "chatglm"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_hidden_layers": "num_layers",
        "vocab_size": "padded_vocab_size",
        "intermediate_size": "ffn_hidden_size",
        "max_position_embeddings": "seq_length",
        "head_dim": "kv_channels",
        "rms_norm_eps": "layernorm_epsilon",
    }

    num_layers: int = 28
    padded_vocab_size: int = 65024
    hidden_size: int = 4096
    ffn_hidden_size: int = 13696
    kv_channels: int | None = 128
    num_attention_heads: int = 32
    seq_length: int = 2048
    hidden_dropout: float | int = 0.0
    classifier_dropout: float | int | None = None
    attention_dropout: float | int = 0.0
    layernorm_epsilon: float = 1e-5
    rmsnorm: bool = True
    apply_residual_connection_post_layernorm: bool = False
    post_layer_norm: bool = True
    add_bias_linear: bool = False
    add_qkv_bias: bool = False
    interleaved_qkv: bool = False
    bias_dropout_fusion: bool = True
    multi_query_attention: bool = False
    multi_query_group_num: int = 1
    rope_ratio: float | int = 1
    rope_ratio_divides: bool | None = None
    original_rope: bool = True
    apply_query_key_layer_scaling: bool = True
    attention_softmax_in_fp32: bool = True
    fp32_residual_connection: bool = False
    quantization_bit: int | None = 0
    pre_seq_len: int | None = None
    prefix_projection: bool = False
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        for key, name in OTHERS.items():
            if key in kwargs:
                raise UnsupportedConfigError(
                    f"ChatGLMConfig: {key} marks {name}, which hfpaddle does not implement "
                    "(works: ChatGLM2, ChatGLM3, GLM-4-9B)."
                )
        if self.rope_ratio_divides is None and "chatglm2" in str(kwargs.get("_name_or_path")):
            self.rope_ratio_divides = True
        super().__post_init__(**kwargs)


CONFIG_CLASS = ChatGLMConfig


class PerHeadAttention(FusedAttention):
    """`FusedAttention` whose projection's rows are each head's query, key and value in turn."""

    def project(self, x_BSH: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        B, S, _ = x_BSH.shape
        qkv = getattr(self, self.names[0])(x_BSH).reshape([B, S, self.num_heads, 3 * self.head_dim])
        return tuple(qkv.chunk(3, axis=-1))


class ChatGLMBlock(nn.Layer):
    """Attention and MLP behind norms; the residual stream passes before or after the norms."""

    def __init__(
        self,
        self_attention: nn.Layer,
        mlp: nn.Layer,
        norm: Callable[[], nn.Layer],
        dropout: float,
        residual_after_norm: bool,
    ) -> None:
        super().__init__()
        self.self_attention, self.mlp = self_attention, mlp
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()
        self.hidden_dropout, self.residual_after_norm = Dropout(dropout), residual_after_norm

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.input_layernorm(x_BSH)
        residual_BSH = h_BSH if self.residual_after_norm else x_BSH
        x_BSH = residual_BSH + self.hidden_dropout(self.self_attention(h_BSH, state))
        h_BSH = self.post_attention_layernorm(x_BSH)
        residual_BSH = h_BSH if self.residual_after_norm else x_BSH
        return residual_BSH + self.hidden_dropout(self.mlp(h_BSH))


class ChatGLMModel(DecoderModel):
    """The backbone, which also holds the output layer."""

    embedding_path = "embedding.word_embeddings"
    key_map = KeyMap((Drop("*rotary_pos_emb.inv_freq"),))

    def __init__(self, config: ChatGLMConfig) -> None:
        super(DecoderModel, self).__init__(config)
        family = self.family
        self.layer_types, self.sliding_window = family.layer_types(config), None
        # Plain holders: the checkpoint's names are nested where no computation is.
        self.embedding, self.encoder = nn.Layer(), nn.Layer()
        self.embedding.word_embeddings = family.make_embedding(config)
        blocks = [family.make_block(config, i) for i in range(config.num_layers)]
        self.encoder.layers = nn.LayerList(blocks)
        self.norm_name = "final_layernorm" if config.post_layer_norm else None
        if self.norm_name:
            self.encoder.final_layernorm = family.make_norm(config)
        self.output_layer = family.make_head(config)
        self.rotary = family.make_rotary(config)

    @property
    def layers(self) -> nn.LayerList:
        return self.encoder.layers

    @property
    def final_layernorm(self) -> nn.Layer:
        return self.encoder.final_layernorm

    def embed(self, input_ids_BS: paddle.Tensor) -> paddle.Tensor:
        return self.embedding.word_embeddings(input_ids_BS.astype("int64"))


@register_model(
    "chatglm",
    # As the checkpoints' own auto_map has it: AutoModel gives the model that generates.
    AutoModel="ChatGLMForConditionalGeneration",
    AutoModelForCausalLM="ChatGLMForConditionalGeneration",
    AutoModelForSeq2SeqLM="ChatGLMForConditionalGeneration",
    AutoModelForSequenceClassification="ChatGLMForSequenceClassification",
)
class ChatGLMForConditionalGeneration(DecoderForCausalLM):
    """A causal decoder, in spite of its name: grouped queries, half of each head rotates."""

    config_class = ChatGLMConfig
    model_class = ChatGLMModel
    base_model_prefix = "transformer"
    output_embedding_path = "transformer.output_layer"
    key_map = ChatGLMModel.key_map
    head_classes = {"AutoModelForSequenceClassification": None}
    # The remote code stores original_rope and never reads it; fusion and scaling choose between
    # equal computations; the softmax is in float32 here either way; the others matter only with
    # the field or in the class that reads them.
    neutral_config_keys = frozenset(
        "apply_query_key_layer_scaling attention_softmax_in_fp32 bias_dropout_fusion original_rope "
        "classifier_dropout multi_query_group_num prefix_projection rope_ratio_divides".split()
    )
    # Fused rows are sliced after the projection, so its output is gathered before.
    plan = {
        "transformer.encoder.layers.*.self_attention.query_key_value": "colwise_gather_output",
        "transformer.encoder.layers.*.self_attention.dense": "rowwise_split_input",
        "transformer.encoder.layers.*.mlp.dense_h_to_4h": "colwise_gather_output",
        "transformer.encoder.layers.*.mlp.dense_4h_to_h": "rowwise_split_input",
    }

    def __init__(self, config: ChatGLMConfig) -> None:
        super(DecoderForCausalLM, self).__init__(config)
        self.transformer = self.model_class(config)
        self.vocab_size = config.padded_vocab_size

    @staticmethod
    def make_embedding(config: ChatGLMConfig) -> Embedding:
        return Embedding(config.padded_vocab_size, config.hidden_size)

    @staticmethod
    def make_norm(config: ChatGLMConfig) -> nn.Layer:
        make = RMSNorm if config.rmsnorm else LayerNorm
        return make(config.hidden_size, config.layernorm_epsilon)

    @classmethod
    def make_rotary(cls, config: ChatGLMConfig) -> dict[str, RotaryEmbedding]:
        rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
        if config.rope_ratio_divides:
            rope |= {"rope_type": "linear", "factor": config.rope_ratio}
        else:
            rope["rope_theta"] *= config.rope_ratio
        head_dim = config.kv_channels or config.hidden_size // config.num_attention_heads
        return {"full_attention": RotaryEmbedding(head_dim, rope, config.seq_length)}

    @classmethod
    def make_block(cls, config: ChatGLMConfig, layer: int) -> ChatGLMBlock:
        grouped, heads = config.multi_query_attention, config.num_attention_heads
        attention = FusedAttention if grouped else PerHeadAttention
        return ChatGLMBlock(
            self_attention=attention(
                config.hidden_size,
                heads,
                config.multi_query_group_num if grouped else heads,
                config.kv_channels or config.hidden_size // heads,
                layer,
                bias=config.add_qkv_bias or config.add_bias_linear,
                out_bias=config.add_bias_linear,
                dropout=config.attention_dropout,
                rope="interleaved",
                names=("query_key_value", "dense"),
            ),
            mlp=FusedGatedMLP(
                config.hidden_size,
                config.ffn_hidden_size,
                bias=config.add_bias_linear,
                names=("dense_h_to_4h", "dense_4h_to_h"),
            ),
            norm=partial(cls.make_norm, config),
            dropout=config.hidden_dropout,
            residual_after_norm=config.apply_residual_connection_post_layernorm,
        )


class ChatGLMForSequenceClassification(DecoderHead):
    """Scores the last position of each row; pad on the left."""

    config_class, model_class = ChatGLMConfig, ChatGLMModel
    base_model_prefix = "transformer"
    key_map = ChatGLMModel.key_map
    neutral_config_keys = ChatGLMForConditionalGeneration.neutral_config_keys
    one_a_row = "scores one token a row"

    def __init__(self, config: ChatGLMConfig) -> None:
        super().__init__(config)
        self.classifier_head = Linear(config.hidden_size, config.num_labels)
        self.dropout = Dropout(config.classifier_dropout or 0.0)

    def forward(
        self, input_ids=None, attention_mask=None, *, labels=None, return_dict=None, **kwargs
    ) -> Any:
        """Return SequenceClassifierOutputWithPast with logits ``[B, C]``."""
        outputs = self.run(input_ids, attention_mask, **kwargs)
        logits_BC = self.classifier_head(self.dropout(outputs.last_hidden_state[:, -1]))
        loss = None
        if labels is not None:
            loss = sequence_classification_loss(logits_BC, labels, self.config)
        kept = {key: outputs[key] for key in outputs if key != "last_hidden_state"}
        output = SequenceClassifierOutputWithPast(loss=loss, logits=logits_BC, **kept)
        return output.to_tuple() if return_dict is False else output
