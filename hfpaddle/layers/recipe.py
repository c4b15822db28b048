"""What a decoder block computes, as numbers and tensors, for kernels that run it whole.

A block says so by its method ``recipe``; one that returns None, or has none, is called as a layer.
Whoever changes a block's forward pass in a subclass gives it a recipe of its own, or None.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from paddle import nn

from hfpaddle.layers.basic import LayerNorm, Linear, RMSNorm
from hfpaddle.layers.quantized import QuantizedLinear

_promise: ContextVar[object | None] = ContextVar("layers_stay", default=None)


@contextlib.contextmanager
def layers_stay() -> Iterator[None]:
    """Promise that within the block nobody replaces or hooks layers, or switches adapters.

    A kernel that read them once need not look again at each token. Values may change in place.
    """
    token = _promise.set(_promise.get() or object())
    try:
        yield
    finally:
        _promise.reset(token)


def promise() -> object | None:
    """Return what stands for the outermost `layers_stay` that the code is in, or None."""
    return _promise.get()


@dataclass(frozen=True)
class LowRank:
    """What an adapter adds to a linear layer: ``scale * b(a(x))``, two `Linear` without biases.

    ``rows``: for which sequences of the batch; None means all.
    """

    a: nn.Layer
    b: nn.Layer
    scale: float
    rows: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class LinearRecipe:
    """Rows ``begin`` to ``end`` of a weight ``[O, I]``, of its bias, and of what adapters add."""

    layer: nn.Layer
    begin: int
    end: int
    adds: tuple[LowRank, ...] = ()


@dataclass(frozen=True)
class NormRecipe:
    """``kind`` is "rms" or "layer"; the weight applied is ``layer.weight + offset``."""

    layer: nn.Layer
    kind: str
    eps: float
    offset: float = 0.0


@dataclass(frozen=True)
class AttentionRecipe:
    """Grouped-query attention; ``rope`` is "half", "interleaved" or None."""

    query: LinearRecipe
    key: LinearRecipe
    value: LinearRecipe
    output: LinearRecipe
    heads: int
    kv_heads: int
    head_dim: int
    layer_idx: int
    layer_type: str
    rope: str | None
    scale: float
    softcap: float | None
    query_norm: NormRecipe | None
    key_norm: NormRecipe | None
    whole_norms: bool = False  # these span all heads instead of each


@dataclass(frozen=True)
class MLPRecipe:
    """``down(act(gate(x)) * up(x))``, or ``down(act(up(x)))`` without a gate."""

    up: LinearRecipe
    down: LinearRecipe
    act: str
    gate: LinearRecipe | None = None


@dataclass(frozen=True)
class BlockRecipe:
    """Attention and MLP, each normed before and after, and added to the residual stream.

    ``parallel``: both read the stream as it was before the block. ``residual`` multiplies what each
    adds.
    """

    attention: AttentionRecipe
    mlp: MLPRecipe
    before_attention: NormRecipe | None = None
    after_attention: NormRecipe | None = None
    before_mlp: NormRecipe | None = None
    after_mlp: NormRecipe | None = None
    parallel: bool = False
    residual: float = 1.0
    # Every layer whose call the recipe stands for: one with a hook must be called.
    layers: tuple[nn.Layer, ...] = field(default=())


def recipe_of(layer: Any) -> Any:
    """Return the recipe of a layer, or None."""
    return layer.recipe() if hasattr(layer, "recipe") else None


def linear_recipe(layer: Any, begin: int = 0, end: int | None = None) -> LinearRecipe | None:
    """Return rows of a plain `Linear` or `QuantizedLinear`; None for anything else.

    An adapter around one says what it adds by a method ``low_rank``: the layer within and a tuple
    of `LowRank`, or None where it computes something else at present.
    """
    adds: tuple[LowRank, ...] = ()
    if hasattr(layer, "low_rank"):
        layer, adds = layer.low_rank() or (None, ())
    if type(layer) not in (Linear, QuantizedLinear):
        return None
    return LinearRecipe(layer, begin, layer.weight.shape[0] if end is None else end, adds)


def norm_recipe(layer: Any) -> NormRecipe | None:
    """Return the recipe of an `RMSNorm` or `LayerNorm`; None for anything else."""
    if type(layer) is RMSNorm:
        return NormRecipe(layer, "rms", layer.eps, layer.offset)
    return NormRecipe(layer, "layer", layer.eps) if type(layer) is LayerNorm else None


def block_recipe(
    block: nn.Layer,
    norms: dict[str, Any],
    *,
    attention: Any,
    mlp: Any,
    parallel: bool = False,
    residual: float = 1.0,
) -> BlockRecipe | None:
    """Put the recipes of a block's parts together; None if one of them has none.

    Args:
        norms: layers by the field of `BlockRecipe` that they stand for.
    """
    recipes = {name: norm_recipe(layer) for name, layer in norms.items()}
    parts = (recipe_of(attention), recipe_of(mlp))
    if None in parts or None in recipes.values():
        return None
    layers = tuple(block.sublayers(include_self=True))
    return BlockRecipe(*parts, **recipes, parallel=parallel, residual=residual, layers=layers)


def hooks_of(layers: Iterable[nn.Layer]) -> list[dict]:
    """Return the dictionaries in which Paddle keeps the hooks of these layers."""
    return [d for layer in layers for d in (layer._forward_pre_hooks, layer._forward_post_hooks)]
