"""Phi-3 and Phi-4 decoders: Llama's shape with fused projections and long rotary factors.

Source: arXiv:2404.14219, arXiv:2412.08905; checkpoints `microsoft/Phi-3-*`, `microsoft/Phi-4-*`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import transformers

from hfpaddle.layers import Dropout, FusedAttention, FusedGatedMLP, RMSNorm
from hfpaddle.layers.parameter import in_order
from hfpaddle.layers.recipe import BlockRecipe
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderBlock
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


class Phi3Block(DecoderBlock):
    """Llama's block with dropout on what each part adds."""

    def __init__(self, *args: Any, dropout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resid_attn_dropout, self.resid_mlp_dropout = Dropout(dropout), Dropout(dropout)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.self_attn(self.input_layernorm(x_BSH), state)
        x_BSH = x_BSH + self.resid_attn_dropout(h_BSH)
        h_BSH = self.mlp(self.post_attention_layernorm(x_BSH))
        return x_BSH + self.resid_mlp_dropout(h_BSH)

    def recipe(self) -> BlockRecipe | None:
        return self._recipe()


@register_model("phi3")
class Phi3ForCausalLM(LlamaForCausalLM):
    """Fused query-key-value and gate-up projections; rotary factors switch at a length."""

    config_class = transformers.Phi3Config
    # The config copies original_max_position_embeddings into rope_parameters, which is what counts;
    # embd_pdrop is declared, but the original drops no embeddings.
    neutral_config_keys = frozenset({"original_max_position_embeddings", "embd_pdrop"})
    # Fused rows are sliced after the projection, so its output is gathered before.
    plan = {
        "model.layers.*.self_attn.qkv_proj": "colwise_gather_output",
        "model.layers.*.self_attn.o_proj": "rowwise_split_input",
        "model.layers.*.mlp.gate_up_proj": "colwise_gather_output",
        "model.layers.*.mlp.down_proj": "rowwise_split_input",
    }

    def __init__(self, config: transformers.Phi3Config) -> None:
        super().__init__(config)
        rope = config.rope_parameters
        scaled = rope["rope_type"] == "longrope"
        self.switch_length = rope["original_max_position_embeddings"] if scaled else None

    @staticmethod
    def make_block(config: transformers.Phi3Config, layer: int) -> Phi3Block:
        head_dim = getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
        windowed = config.sliding_window is not None
        return Phi3Block(
            self_attn=in_order(
                FusedAttention(
                    config.hidden_size,
                    config.num_attention_heads,
                    config.num_key_value_heads,
                    head_dim,
                    layer,
                    dropout=config.attention_dropout,
                    layer_type="sliding_attention" if windowed else "full_attention",
                ),
                *("o_proj", "qkv_proj"),
            ),
            mlp=FusedGatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            norm=partial(RMSNorm, config.hidden_size, config.rms_norm_eps),
            dropout=config.resid_pdrop,
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: paddle.Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: paddle.Tensor | None = None,
        inputs_embeds: paddle.Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As for any decoder, but start the cache anew where the long rotary factors set in.

        Keys held from before were rotated by the short factors.
        """
        limit = self.switch_length
        if past_key_values is not None and limit is not None and input_ids.shape[1] > limit:
            if int(past_key_values.get_seq_length()) <= limit:
                past_key_values = next_sequence_length = None
        return super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
