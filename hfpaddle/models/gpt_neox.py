"""GPT-NeoX decoder (GPT-NeoX-20B, Pythia): partial rotary positions, optional parallel residual.

Source: arXiv:2204.06745, arXiv:2304.01373; checkpoints `EleutherAI/gpt-neox-20b`,
`EleutherAI/pythia-*`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Rename, Tie
from hfpaddle.layers import MLP, Dropout, Embedding, GroupFusedAttention, LayerNorm
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderForCausalLM, DecoderModel
from hfpaddle.modeling.heads import ClassifierForTokenClassification
from hfpaddle.modeling.registry import register_model


class GPTNeoXLayer(nn.Layer):
    """Attention and MLP, each behind a norm of its own.

    With ``parallel`` both read the block's input; else the MLP reads what attention left.
    """

    def __init__(
        self,
        attention: nn.Layer,
        mlp: nn.Layer,
        norms: tuple[nn.Layer, nn.Layer],
        dropout: float,
        parallel: bool,
    ) -> None:
        super().__init__()
        self.attention, self.mlp, self.parallel = attention, mlp, parallel
        self.input_layernorm, self.post_attention_layernorm = norms
        self.dropout = Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        attended_BSH = self.dropout(self.attention(self.input_layernorm(x_BSH), state)) + x_BSH
        source_BSH = x_BSH if self.parallel else attended_BSH
        return self.dropout(self.mlp(self.post_attention_layernorm(source_BSH))) + attended_BSH


class GPTNeoXModel(DecoderModel):
    """The backbone; it drops embeddings while training."""

    embedding_path, norm_name = "embed_in", "final_layer_norm"

    def __init__(self, config: transformers.GPTNeoXConfig) -> None:
        super().__init__(config)
        self.emb_dropout = Dropout(config.hidden_dropout)

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return self.emb_dropout(x_BSH)


@register_model("gpt_neox")
class GPTNeoXForCausalLM(DecoderForCausalLM):
    """Queries, keys and values come from one projection, grouped by head."""

    config_class = transformers.GPTNeoXConfig
    base_model_prefix = "gpt_neox"
    model_class = GPTNeoXModel
    key_map = GPTNeoXModel.key_map = KeyMap(
        (
            # Buffers of old checkpoints.
            Drop("*.attention.bias"),
            Drop("*.attention.masked_bias"),
            Drop("*.rotary_emb.inv_freq"),
            Rename(r"^embed_out\.", "lm_head.", back=(r"^lm_head\.", "embed_out.")),
            Tie("lm_head.weight", "gpt_neox.embed_in.weight"),
        )
    )
    # Read by the token classification head alone; decoding is causal whatever is_decoder says.
    neutral_config_keys = frozenset(("classifier_dropout", "is_decoder"))
    head_classes = {"AutoModelForTokenClassification": ClassifierForTokenClassification}
    plan = {
        "gpt_neox.layers.*.attention.query_key_value": "colwise",
        "gpt_neox.layers.*.attention.dense": "rowwise",
        "gpt_neox.layers.*.mlp.dense_h_to_4h": "colwise",
        "gpt_neox.layers.*.mlp.dense_4h_to_h": "rowwise",
    }

    @staticmethod
    def make_embedding(config: transformers.GPTNeoXConfig) -> Embedding:
        return Embedding(config.vocab_size, config.hidden_size)

    @staticmethod
    def make_norm(config: transformers.GPTNeoXConfig) -> LayerNorm:
        return LayerNorm(config.hidden_size, config.layer_norm_eps)

    @classmethod
    def make_block(cls, config: transformers.GPTNeoXConfig, layer: int) -> GPTNeoXLayer:
        return GPTNeoXLayer(
            attention=GroupFusedAttention(
                config.hidden_size,
                config.num_attention_heads,
                config.num_attention_heads,
                config.hidden_size // config.num_attention_heads,
                layer,
                bias=config.attention_bias,
                dropout=config.attention_dropout,
                names=("query_key_value", "dense"),
            ),
            mlp=MLP(
                config.hidden_size,
                config.intermediate_size,
                config.hidden_act,
                names=("dense_h_to_4h", "dense_4h_to_h"),
            ),
            norms=(cls.make_norm(config), cls.make_norm(config)),
            dropout=config.hidden_dropout,
            parallel=config.use_parallel_residual,
        )
