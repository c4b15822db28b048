"""New weights in the order in which the original draws them, so that a seed gives the same model.

torch's layers draw from the generator when they are constructed; a model is then initialised anew,
and each model inside another is initialised before the next part of the outer one is constructed.
Here nothing is drawn on construction, so the words that torch would use are skipped.

Layers are visited in the order of their attributes. Where the original draws in another way, a
layer says so by one of these attributes:
    first_draws: parameter name -> "uniform" or "normal", what the original draws of the layer's own
        parameters on construction, and later replaces.
    init_again: its weight is drawn twice in succession.
    redraws: names of sublayers whose weights are drawn anew once all sublayers have been drawn.
    draw_weights: a method of the standard deviation that fills all parameters under the layer;
        the original draws none of them on construction.
"""

from __future__ import annotations

from typing import Any

from paddle import nn

from hfpaddle.core import rng
from hfpaddle.layers.parameter import drawing_dtype, empty_parameters, initialized, parameter

_CHUNK = 1 << 16  # small enough to stay in the cache


def initialize(model: Any, is_model: type) -> None:
    """Fill every parameter of the new ``model`` that has no memory yet.

    Args:
        is_model: base of the models whose parts are initialised before those that follow.
    """
    _Drawing(model, new=True).build(model, is_model)
    fill_missing(model)  # such as the bias of a layer whose weight is tied to a later one


def fill_missing(model: Any) -> None:
    """Fill the parameters that a loaded ``model`` still lacks; nothing is drawn for the others."""
    _Drawing(model, new=False).draw(model)


def _place(model: Any, path: str) -> tuple[int, str]:
    layer, name = model._owner(path)
    return id(layer), name


def _children(layer: nn.Layer) -> list[tuple[str, nn.Layer]]:
    return [(name, child) for name, child in layer._sub_layers.items() if child is not None]


def _lacks(layer: nn.Layer) -> bool:
    return any(not initialized(p) for p in layer._parameters.values() if p is not None)


class _Drawing:
    """One pass over a model.

    Args:
        root: the model, which knows how each layer is initialised.
        new: also spend what the original draws and then replaces by what a parameter is tied to.
    """

    def __init__(self, root: Any, new: bool) -> None:
        self.root, self.new = root, new
        self.tied = {_place(root, target) for target in root.active_ties()}
        self.done: set[int] = set()

    def build(self, part: nn.Layer, is_model: type) -> None:
        """Construct a model's parts, then initialise them."""
        self.construct_children(part, is_model)
        self.draw(part)

    def construct_children(self, layer: nn.Layer, is_model: type) -> None:
        for _, child in _children(layer):
            if isinstance(child, is_model):
                self.build(child, is_model)
            elif not hasattr(child, "draw_weights"):
                self.construct_children(child, is_model)
                skip_first_draws(child)

    def draw(self, layer: Any, replaced: bool = False) -> None:
        """Fill what is empty in and under ``layer``, each layer once and after those under it.

        Args:
            replaced: what is drawn of the weight is lost, because the layer above redraws it.
        """
        if id(layer) in self.done:
            return
        self.done.add(id(layer))
        if hasattr(layer, "draw_weights"):
            layer.draw_weights(self.root.initializer_std())
            return
        redraws = getattr(layer, "redraws", ())
        for name, child in _children(layer):
            self.draw(child, name in redraws)
        self.draw_own(layer, replaced)
        for name in redraws:
            self.redraw(layer._sub_layers[name])

    def draw_own(self, layer: Any, replaced: bool) -> None:
        if (id(layer), "weight") in self.tied:
            if self.new:
                skip_normal(layer.weight.size)
            if not initialized(layer.weight):
                return  # drawn where it is tied to
        if _lacks(layer):
            if (replaced or getattr(layer, "init_again", False)) and not initialized(layer.weight):
                skip_normal(layer.weight.size)
            if not replaced:
                self.root._init_weights(layer)

    def redraw(self, layer: Any) -> None:
        """Draw a sublayer's weight anew; of a tied one the draw is lost, but not its words."""
        if not self.new or (id(layer), "weight") not in self.tied:
            self.root._init_weights(layer)
            return
        held = layer._parameters["weight"]
        with empty_parameters():
            layer._parameters["weight"] = parameter(held.shape)
        self.root._init_weights(layer)
        layer._parameters["weight"] = held


def skip_first_draws(layer: nn.Layer) -> None:
    """Go on in the default stream as if torch had constructed ``layer``, without its sublayers."""
    for name, kind in getattr(layer, "first_draws", {}).items():
        param = layer._parameters.get(name)
        if param is not None:
            (skip_normal if kind == "normal" else skip_words)(param.size)


def skip_words(count: int) -> None:
    """Go on in the default stream as if ``count`` uniform float32 values had been drawn."""
    while count > 0:
        rng.default_generator.random_u32(min(count, _CHUNK))
        count -= _CHUNK


def skip_normal(count: int) -> None:
    """Go on in the default stream as if ``count`` normal values had been drawn."""
    if count < 16:
        rng.default_generator.normal([count])  # small tensors draw in pairs, and may keep one
    else:
        whole = count // 16 * 16
        # A last partial block is drawn a second time in float32, and only then in the half types.
        skip_words(whole if drawing_dtype() != "float32" else count)
        skip_words(16 if count > whole else 0)
