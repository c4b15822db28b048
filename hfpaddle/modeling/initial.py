"""New weights in the order in which the original draws them, so that a seed gives the same model.

torch's layers draw from the generator when they are constructed; a model is then initialised anew,
and each model inside another is initialised before the next part of the outer one is constructed.
Here nothing is drawn on construction, so the words that torch would use are skipped.
"""

from __future__ import annotations

from typing import Any

from paddle import nn

from hfpaddle.core import rng
from hfpaddle.layers.basic import Conv1D, Embedding, Linear
from hfpaddle.layers.parameter import initialized

_CHUNK = 1 << 22


def initialize(model: Any, is_model: type) -> None:
    """Fill every parameter of ``model`` that has no memory yet.

    Args:
        is_model: base of the models whose parts are initialised before those that follow.
    """
    tied = {_place(model, target) for target in model.active_ties()}
    _build(model, model, is_model, tied)


def _place(model: Any, path: str) -> tuple[int, str]:
    layer, name = model._owner(path)
    return id(layer), name


def _build(root: Any, part: nn.Layer, is_model: type, tied: set[tuple[int, str]]) -> None:
    for child in filter(None, part._sub_layers.values()):
        if isinstance(child, is_model):
            _build(root, child, is_model, tied)
        else:
            _construct(root, child, is_model, tied)
    for layer in root._children_first(part):
        if (id(layer), "weight") in tied and initialized(layer.weight):
            tied.remove((id(layer), "weight"))
            skip_normal(layer.weight.size)  # drawn, then replaced by what it is tied to
        if any(not initialized(p) for p in layer._parameters.values() if p is not None):
            if getattr(layer, "init_again", False):
                skip_normal(layer.weight.size)  # what the original draws first and replaces
            root._init_weights(layer)


def _construct(root: Any, layer: nn.Layer, is_model: type, tied: set[tuple[int, str]]) -> None:
    for child in filter(None, layer._sub_layers.values()):
        if isinstance(child, is_model):
            _build(root, child, is_model, tied)
        else:
            _construct(root, child, is_model, tied)
    if isinstance(layer, Linear):
        skip_words(layer.weight.size + (0 if layer.bias is None else layer.bias.size))
    elif isinstance(layer, (Embedding, Conv1D)):
        skip_normal(layer.weight.size)


def skip_words(count: int) -> None:
    """Go on in the default stream as if ``count`` uniform float32 values had been drawn."""
    while count > 0:
        rng.default_generator.random_u32(min(count, _CHUNK))
        count -= _CHUNK


def skip_normal(count: int) -> None:
    """Go on in the default stream as if ``count`` normal float32 values had been drawn."""
    if count < 16:
        rng.default_generator.normal([count])  # small tensors draw in pairs, and may keep one
    else:
        skip_words(count + (16 if count % 16 else 0))
