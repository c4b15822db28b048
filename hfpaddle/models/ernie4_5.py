"""ERNIE 4.5 dense decoder: Llama with interleaved rotary pairs, rotated in float32.

Source: ERNIE 4.5 Technical Report (Baidu, 2025); checkpoints `baidu/ERNIE-4.5-0.3B-PT`.
Shape letters: B batch, S sequence, H hidden, N query heads, K key/value heads, D head size.
"""

from __future__ import annotations

from functools import partial

import paddle
import transformers

from hfpaddle import ops
from hfpaddle.layers import Attention, GatedMLP, RMSNorm
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderBlock
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.llama import LlamaForCausalLM


class Ernie4_5Attention(Attention):  # noqa: N801  named after its family
    """Attention that rotates in float32 whatever the dtype it computes in."""

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        q, k, v = (t.transpose([0, 2, 1, 3]) for t in self.project(x_BSH))
        cos, sin = state.rope[self.layer_type]
        q = ops.rotary(q.astype("float32"), cos, sin, interleaved=True).astype(v.dtype)
        k = ops.rotary(k.astype("float32"), cos, sin, interleaved=True).astype(v.dtype)
        return self.attend(q, k, v, state)


@register_model("ernie4_5")
class Ernie4_5ForCausalLM(LlamaForCausalLM):  # noqa: N801  the original's name
    """Llama blocks in which ``use_bias`` holds for every projection."""

    config_class = transformers.Ernie4_5Config

    @staticmethod
    def make_block(config: transformers.Ernie4_5Config, layer: int) -> DecoderBlock:
        return DecoderBlock(
            self_attn=Ernie4_5Attention(
                config.hidden_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                config.head_dim,
                layer,
                bias=config.use_bias,
            ),
            mlp=GatedMLP(
                config.hidden_size, config.intermediate_size, config.hidden_act, config.use_bias
            ),
            norm=partial(RMSNorm, config.hidden_size, config.rms_norm_eps),
        )
