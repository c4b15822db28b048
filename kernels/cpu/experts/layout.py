"""The C++ side's description of a layer's experts; see experts.h."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import paddle

from hfpaddle.kernels.cpu.blocks.layout import ACTIVATIONS
from hfpaddle.kernels.cpu.linear.matrix import KINDS, Matrix, quantized_matrix, reads
from hfpaddle.layers.quantized import QuantizedLinear
from hfpaddle.layers.recipe import LinearRecipe, MLPRecipe, hooks_of, recipe_of


class Expert(ctypes.Structure):
    _fields_ = [(name, Matrix) for name in ("gate", "up", "down")]


class _Read:
    """One expert that was read, and what it was read from."""

    def __init__(self, layer: Any, recipe: MLPRecipe) -> None:
        self.shape = (*_shape(recipe.up), *_shape(recipe.down))
        self.act, self.gated = recipe.act, recipe.gate is not None
        self._keep: list[paddle.Tensor] = []
        self.matrices = {
            name: self._matrix(getattr(recipe, name))
            for name in ("gate", "up", "down")
            if getattr(recipe, name) is not None
        }
        layers = _parts(layer)
        self._hooks = hooks_of(layers)
        self._held = [
            (held, tuple(held.values()))
            for part in layers
            for held in (part._sub_layers, part._parameters)
            if held
        ]
        self._tensors = [p for part in layers for p in part._parameters.values() if p is not None]
        self._addresses = [p.data_ptr() for p in self._tensors]

    def fresh(self) -> bool:
        """Whether layers and parameters are those that were read, and no layer has a hook.

        Training changes parameters in place, which is seen through their addresses.
        """
        if any(self._hooks) or [p.data_ptr() for p in self._tensors] != self._addresses:
            return False
        # Tensors are compared by identity.
        return all(
            len(held) == len(kept) and all(map(_same, held.values(), kept))
            for held, kept in self._held
        )

    def _matrix(self, recipe: LinearRecipe) -> Matrix:
        layer, weight, bias = recipe.layer, recipe.layer.weight, recipe.layer.bias
        at = None if bias is None else bias.data_ptr() + recipe.begin * 4
        if isinstance(layer, QuantizedLinear):
            parts = (layer.stored, layer.cols, weight, layer.scales, layer.zeros)
            return quantized_matrix(*parts, at, recipe.begin, recipe.end)
        rows, cols = recipe.end - recipe.begin, weight.shape[1]
        start = weight.data_ptr() + recipe.begin * cols * weight.element_size()
        kind = KINDS[str(weight.dtype).removeprefix("paddle.")]
        return Matrix(start, None, None, at, rows, cols, kind, 0)


class Mixture:
    """The experts of one layer as the C++ side reads them, read when they are first chosen."""

    def __init__(self) -> None:
        self._layers: list[Any] = []
        self._read: list[_Read | None] = []
        self.act = ""

    def read(self, layers: Any, chosen: Iterable[int], width: int) -> bool:
        """Make the ``chosen`` of ``layers`` ready in `array`; False if one cannot be.

        Experts that no token chose are not looked at: a layer may have hundreds.
        """
        now = list(layers._sub_layers.values())
        if len(now) != len(self._layers) or not all(map(_same, now, self._layers)):
            self._layers, self._read = now, [None] * len(now)
            self.array = (Expert * len(now))()
        if any(layers._forward_pre_hooks) or any(layers._forward_post_hooks):
            return False
        return all(0 <= e < len(now) and self._ready(e, width) for e in chosen)

    def _ready(self, e: int, width: int) -> bool:
        known = self._read[e]
        if known is not None and known.fresh():
            return True
        recipe = recipe_of(self._layers[e])
        if recipe is None or any(hooks_of(_parts(self._layers[e]))):
            return False
        parts = [part for part in (recipe.gate, recipe.up, recipe.down) if part is not None]
        if recipe.act not in ACTIVATIONS or not all(_readable(part.layer) for part in parts):
            return False
        known = _Read(self._layers[e], recipe)
        shape = (*known.shape, known.act, known.gated)
        rows = known.shape[0]
        if known.shape != (rows, width, width, rows) or shape != self._common(shape):
            return False
        for name, matrix in known.matrices.items():
            setattr(self.array[e], name, matrix)
        self._read[e], self.act = known, known.act
        return True

    def _common(self, shape: tuple) -> tuple:
        """Return what the experts that were read share, which is ``shape`` if none was."""
        for known in self._read:
            if known is not None:
                return (*known.shape, known.act, known.gated)
        return shape


def _same(a: Any, b: Any) -> bool:
    return a is b


def _parts(layer: Any) -> list[Any]:
    return layer.sublayers(include_self=True)


def _shape(recipe: LinearRecipe) -> tuple[int, int]:
    layer = recipe.layer
    cols = layer.cols if isinstance(layer, QuantizedLinear) else layer.weight.shape[1]
    return recipe.end - recipe.begin, cols


def _readable(layer: Any) -> bool:
    if layer.bias is not None and layer.bias.dtype != paddle.float32:
        return False
    if isinstance(layer, QuantizedLinear):
        return reads(layer.stored, layer.cols, layer.weight, layer.scales, layer.zeros)
    known = str(layer.weight.dtype).removeprefix("paddle.") in KINDS
    return known and layer.weight.is_contiguous()
