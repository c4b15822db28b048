"""Layers used several times, each time with adapters of its own (``layer_replication``)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from paddle import nn


def _holder(model: Any) -> tuple[Any, str]:
    """The layer that holds the list of blocks, and the list's name."""
    while hasattr(model, "model"):
        model = model.model
    model = getattr(model, "bert", model)
    encoder = getattr(model, "encoder", None)
    for holder, name in ((model, "layers"), (encoder, "layer"), (model, "h")):
        if isinstance(getattr(holder, name, None), nn.LayerList):
            return holder, name
    raise ValueError(
        "Could not locate the layers attribute in the model. Expected Llama, Bert or Falcon "
        "compatible architectures."
    )


def _shared(block: nn.Layer) -> nn.Layer:
    """A copy of a block with the same parameters."""
    return copy.deepcopy(block, {id(param): param for param in block.parameters()})


def replicate_layers(model: Any, layer_map: Sequence[Sequence[int]]) -> None:
    """Put the blocks of each range ``[start, end)`` one after the other, with shared weights.

    Raises: ValueError for a model whose blocks are not found.
    """
    holder, name = _holder(model)
    blocks = list(getattr(holder, name))
    order = [i for start, end in layer_map for i in range(start, end)]
    made = [_shared(blocks[i]) for i in order]
    for place, block in enumerate(made):
        for part in block.sublayers(include_self=True):
            if hasattr(part, "layer_idx"):
                part.layer_idx = place
    setattr(holder, name, nn.LayerList(made))
    config = getattr(holder, "config", None) or getattr(model, "config", None)
    if hasattr(config, "num_hidden_layers"):
        config.num_hidden_layers = len(made)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and len(kinds) == len(blocks):
        config.layer_types = [kinds[i] for i in order]
