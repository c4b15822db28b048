"""GLM-4-0414 decoder: GLM with norms after attention and MLP too.

Source: checkpoints `zai-org/GLM-4-9B-0414`, `zai-org/GLM-Z1-*`.
Shape letters: B batch, S sequence, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
import transformers
from paddle import nn

from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.glm import GlmForCausalLM


class Glm4Block(nn.Layer):
    """Attention and MLP, each normed before and after, then added to the residual stream."""

    def __init__(self, self_attn: nn.Layer, mlp: nn.Layer, norm: Callable[[], nn.Layer]) -> None:
        super().__init__()
        self.self_attn, self.mlp = self_attn, mlp
        self.input_layernorm, self.post_self_attn_layernorm = norm(), norm()
        # The checkpoint calls the norm before the MLP after what precedes it.
        self.post_attention_layernorm, self.post_mlp_layernorm = norm(), norm()

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        h_BSH = self.self_attn(self.input_layernorm(x_BSH), state)
        x_BSH = x_BSH + self.post_self_attn_layernorm(h_BSH)
        h_BSH = self.mlp(self.post_attention_layernorm(x_BSH))
        return x_BSH + self.post_mlp_layernorm(h_BSH)


@register_model("glm4")
class Glm4ForCausalLM(GlmForCausalLM):
    """GLM's attention and MLP between twice as many norms."""

    config_class = transformers.Glm4Config
    block_class = Glm4Block
