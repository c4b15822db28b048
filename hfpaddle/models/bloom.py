"""BLOOM decoder: alibi positions, a norm behind the embedding.

Source: arXiv:2211.05100; checkpoints `bigscience/bloom*`.
Shape letters: B batch, S sequence, T keys, N heads, H hidden.
"""

from __future__ import annotations

from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.converters.keymap import KeyMap, Tie
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers import MLP, Dropout, Embedding, GroupFusedAttention, LayerNorm
from hfpaddle.layers.alibi import alibi_positions, alibi_slopes, with_alibi
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderForCausalLM, DecoderModel
from hfpaddle.modeling.heads import ClassifierForTokenClassification
from hfpaddle.modeling.outputs import CausalLMOutputWithCrossAttentions
from hfpaddle.modeling.registry import register_model
from hfpaddle.modeling.signature import argument_order

ARGUMENTS = ("input_ids", "past_key_values", "attention_mask", "inputs_embeds")


class BloomBlock(nn.Layer):
    """Attention and MLP behind norms.

    With ``residual_after_norm`` it is the norm's output that they are added to.
    """

    def __init__(
        self,
        self_attention: nn.Layer,
        mlp: nn.Layer,
        norms: tuple[nn.Layer, nn.Layer],
        dropout: float,
        residual_after_norm: bool,
    ) -> None:
        super().__init__()
        self.self_attention, self.mlp = self_attention, mlp
        self.input_layernorm, self.post_attention_layernorm = norms
        self.dropout, self.residual_after_norm = Dropout(dropout), residual_after_norm

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.input_layernorm(x_BSH)
        residual_BSH = h_BSH if self.residual_after_norm else x_BSH
        x_BSH = residual_BSH + self.dropout(self.self_attention(h_BSH, state))
        h_BSH = self.post_attention_layernorm(x_BSH)
        residual_BSH = h_BSH if self.residual_after_norm else x_BSH
        return residual_BSH + self.dropout(self.mlp(h_BSH))


@argument_order(*ARGUMENTS)
class BloomModel(DecoderModel):
    """The backbone."""

    embedding_path, layers_name, norm_name = "word_embeddings", "h", "ln_f"

    def __init__(self, config: transformers.BloomConfig) -> None:
        super().__init__(config)
        self.word_embeddings_layernorm = LayerNorm(config.hidden_size, config.layer_norm_epsilon)
        self.slopes = alibi_slopes(config.n_head)

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return self.word_embeddings_layernorm(x_BSH)

    def make_state(
        self,
        x_BSH: Any,
        attention_mask: Any,
        position_ids: Any,
        cache: Any,
        past: int,
        packing: Any,
    ) -> ForwardState:
        # Positions come from the mask alone; position_ids only tell where packed samples begin.
        state = super().make_state(x_BSH, attention_mask, position_ids, cache, past, packing)
        mask = state.masks["full_attention"]
        positions_BT = alibi_positions(attention_mask, mask.keys, x_BSH.place)
        slopes_N1 = paddle.to_tensor(self.slopes, place=x_BSH.place).unsqueeze(-1)
        alibi_BNT = slopes_N1 * positions_BT.astype("float32").unsqueeze(1)
        alibi_BNT = alibi_BNT.astype(x_BSH.dtype).astype("float32")
        state.masks = {"full_attention": with_alibi(mask, alibi_BNT)}
        return state


@register_model("bloom")
@argument_order(*ARGUMENTS)
class BloomForCausalLM(DecoderForCausalLM):
    """Queries, keys and values come from one projection, grouped by head."""

    config_class = transformers.BloomConfig
    base_model_prefix = "transformer"
    model_class = BloomModel
    key_map = BloomModel.key_map = KeyMap(
        (Tie("lm_head.weight", "transformer.word_embeddings.weight"),)
    )
    head_classes = {"AutoModelForTokenClassification": ClassifierForTokenClassification}
    plan = {
        "transformer.h.*.self_attention.query_key_value": "colwise",
        "transformer.h.*.self_attention.dense": "rowwise",
        "transformer.h.*.mlp.dense_h_to_4h": "colwise",
        "transformer.h.*.mlp.dense_4h_to_h": "rowwise",
    }

    @staticmethod
    def make_embedding(config: transformers.BloomConfig) -> Embedding:
        return Embedding(config.vocab_size, config.hidden_size)

    @staticmethod
    def make_norm(config: transformers.BloomConfig) -> LayerNorm:
        return LayerNorm(config.hidden_size, config.layer_norm_epsilon)

    @classmethod
    def make_rotary(cls, config: transformers.BloomConfig) -> dict:
        return {}

    @classmethod
    def make_block(cls, config: transformers.BloomConfig, layer: int) -> BloomBlock:
        if config.slow_but_exact and config.pretraining_tp > 1:
            # The original sums slices of these products and leaves out their biases.
            raise UnsupportedConfigError(
                f"bloom: slow_but_exact=True with pretraining_tp={config.pretraining_tp} is not "
                "implemented (works: slow_but_exact=False, or pretraining_tp=1)."
            )
        H, N = config.hidden_size, config.n_head
        return BloomBlock(
            self_attention=GroupFusedAttention(
                *(H, N, N, H // N, layer),
                bias=True,
                dropout=config.attention_dropout,
                rope=None,
                names=("query_key_value", "dense"),
            ),
            mlp=MLP(H, 4 * H, "gelu_pytorch_tanh", names=("dense_h_to_4h", "dense_4h_to_h")),
            norms=(cls.make_norm(config), cls.make_norm(config)),
            dropout=config.hidden_dropout,
            residual_after_norm=config.apply_residual_connection_post_layernorm,
        )

    def make_output(self, loss: Any, logits_BSV: paddle.Tensor, outputs: Any) -> Any:
        return CausalLMOutputWithCrossAttentions(**super().make_output(loss, logits_BSV, outputs))
