"""A network that makes embeddings of virtual tokens."""

from __future__ import annotations

import math
import warnings
from typing import Any

import paddle
from paddle import nn

from hfpaddle.layers.parameter import assign
from hfpaddle.peft.tuners.p_tuning.config import (
    PromptEncoderConfig,
    PromptEncoderReparameterizationType,
)
from hfpaddle.peft.tuners.prompt_base import BasePromptEncoder, Table
from hfpaddle.peft.utils.arrays import made_linear, uniform


class PromptEncoder(BasePromptEncoder):
    """Token numbers ``[B, n]`` to embeddings ``[B, n, H]``.

    Raises: ValueError for a network that is neither MLP nor LSTM.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        kind, size = config.encoder_reparameterization_type, config.token_dim
        hidden = config.encoder_hidden_size
        self.token_dim, self.hidden_size, self.encoder_type = size, hidden, kind
        rows = config.num_virtual_tokens * config.num_transformer_submodules
        self.total_virtual_tokens = rows
        self.embedding = Table(rows, size)
        if config.inference_mode:
            return
        if kind == PromptEncoderReparameterizationType.MLP:
            default = PromptEncoderConfig.encoder_num_layers
            if config.encoder_num_layers != default:
                warnings.warn(
                    "for MLP, the argument `encoder_num_layers` is ignored. Exactly "
                    f"{default} MLP layers are used.",
                    stacklevel=2,
                )
            self.mlp_head = _mlp(size, hidden, hidden, size)
        elif kind == PromptEncoderReparameterizationType.LSTM:
            self.lstm_head = _lstm(size, hidden, config.encoder_num_layers, config.encoder_dropout)
            self.mlp_head = _mlp(hidden * 2, hidden * 2, size)
        else:
            raise ValueError(
                f"Prompt encoder type {kind!r} not recognized. Please use one of MLP (recommended) "
                "or LSTM."
            )

    def forward(self, indices: paddle.Tensor) -> paddle.Tensor:
        rows = self.embedding(indices)
        if self.encoder_type == PromptEncoderReparameterizationType.LSTM:
            rows = self.lstm_head(rows)[0]
        return self.mlp_head(rows)


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for first, second in zip(sizes, sizes[1:], strict=False):
        layers += [made_linear(first, second, bias=True), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _lstm(size: int, hidden: int, count: int, dropout: float) -> nn.LSTM:
    """A two-way LSTM, drawn as torch draws its own: all uniform within 1 / sqrt(hidden)."""
    lstm = nn.LSTM(size, hidden, count, direction="bidirect", dropout=dropout)
    bound = 1 / math.sqrt(hidden)
    for layer in range(count):
        for end in ("", "_reverse"):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                param = getattr(lstm, f"{name}_l{layer}{end}")
                assign(param, paddle.to_tensor(uniform(param.shape, -bound, bound)))
    return lstm
