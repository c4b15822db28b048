"""Keys and values of virtual tokens for every layer.

Shape letters: B batch, n virtual tokens, K = layers * 2 * size of the keys.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.peft.tuners.prompt_base import BasePromptEncoder, Table
from hfpaddle.peft.utils.arrays import made_linear, write


class PrefixEncoder(BasePromptEncoder):
    """Token numbers ``[B, n]`` to keys and values ``[B, n, K]``."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.prefix_projection = config.prefix_projection and not config.inference_mode
        rows, size, out = config.num_virtual_tokens, config.token_dim, config.token_dim
        out *= config.num_layers * 2
        zero = config.init_weights == "zero"
        if not self.prefix_projection:
            self.embedding = Table(rows, out)
            last = [self.embedding.weight]
        else:
            self.embedding = Table(rows, size)
            hidden = config.encoder_hidden_size
            first = made_linear(size, hidden, bias=True)
            second = made_linear(hidden, out, bias=True)
            self.transform = nn.Sequential(first, nn.Tanh(), second)
            last = [second.weight, second.bias]
        if zero:
            for param in last:
                write(param, np.zeros(param.shape, "float32"))

    def forward(self, prefix: paddle.Tensor) -> paddle.Tensor:
        rows = self.embedding(prefix)
        return self.transform(rows) if self.prefix_projection else rows
