"""What the blocks of one forward pass share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import paddle

from hfpaddle.layers.masks import AttentionMask


@dataclass
class ForwardState:
    """Masks, rotary angles and cache of one forward pass, handed to every block.

    Attributes:
        masks: by layer type (``"full_attention"``, ``"sliding_attention"``).
        rope: cos and sin ``[B, S, P]`` by layer type; empty for models without rotary positions.
        position_ids: ``[B, S]`` int64.
        cache: keys and values of earlier tokens, or None.
        attentions: list that collects each layer's weights ``[B, N, S, T]``, or None.
        extra: what one family alone needs (alibi slopes, cross-attention states ...).
    """

    masks: dict[str, AttentionMask]
    rope: dict[str, tuple[paddle.Tensor, paddle.Tensor]] = field(default_factory=dict)
    position_ids: paddle.Tensor | None = None
    cache: Any = None
    attentions: list[paddle.Tensor] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
