"""The C++ side's description of decoder blocks; see blocks.h."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import paddle

from hfpaddle.kernels.cpu.library import library
from hfpaddle.kernels.cpu.linear.matrix import KINDS, Matrix, quantized_matrix, reads
from hfpaddle.layers.quantized import QuantizedLinear
from hfpaddle.layers.recipe import (
    BlockRecipe,
    LinearRecipe,
    NormRecipe,
    hooks_of,
    norm_recipe,
    recipe_of,
)

ACTIVATIONS = {
    "linear": 0,
    "silu": 1,
    "gelu": 2,
    "gelu_pytorch_tanh": 3,
    "gelu_fast": 3,
    "relu": 4,
    "relu2": 5,
    "quick_gelu": 6,
}
ROPE = {"half": 0, "interleaved": 1, None: 0}


class Norm(ctypes.Structure):
    _fields_ = [
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("eps", ctypes.c_float),
        ("offset", ctypes.c_float),
        ("kind", ctypes.c_int32),
        ("size", ctypes.c_int32),
    ]


class Addition(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("a", "b", "sequences")),
        ("rank", ctypes.c_int64),
        ("scale", ctypes.c_float),
    ]


class LinearLayer(ctypes.Structure):
    _fields_ = [("base", Matrix), ("adds", ctypes.POINTER(Addition)), ("count", ctypes.c_int64)]


class Block(ctypes.Structure):
    _fields_ = [
        *((name, Norm) for name in ("before_attention", "after_attention", "before_mlp")),
        *((name, Norm) for name in ("after_mlp", "query_norm", "key_norm")),
        *(
            (name, LinearLayer)
            for name in ("query", "key", "value", "output", "gate", "up", "down")
        ),
        *((name, ctypes.c_void_p) for name in ("keys", "values")),
        *((name, ctypes.c_int64) for name in ("capacity", "held", "window")),
        *((name, ctypes.c_void_p) for name in ("cos", "sin")),
        ("angle_rows", ctypes.c_int64),
        ("visible", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("heads", "kv_heads", "head_dim", "pairs")),
        *((name, ctypes.c_int32) for name in ("interleaved", "activation", "parallel")),
        ("whole_norms", ctypes.c_int32),
        *((name, ctypes.c_float) for name in ("scale", "softcap", "residual")),
    ]


# What differs from call to call.
CHANGING = (
    *("keys", "values", "capacity", "held", "window", "cos", "sin", "angle_rows", "visible"),
    "pairs",
)


def columns(array: Any, kind: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return integer fields of an array of structures as arrays that share its memory."""
    table = np.frombuffer(array, np.uint8).reshape(len(array), ctypes.sizeof(kind))
    fields = ((name, getattr(kind, name)) for name in names)
    return {
        name: table[:, field.offset : field.offset + field.size].view(f"i{field.size}")[:, 0]
        for name, field in fields
    }


class Widening(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("source", "to")),
        *((name, ctypes.c_int64) for name in ("count", "kind")),
    ]


_widen = library().hf_widen  # type: ignore[union-attr]
_widen.argtypes = [ctypes.POINTER(Widening), ctypes.c_int64]
_widen.restype = None


def _widening(pair: tuple[paddle.Tensor, paddle.Tensor]) -> Widening:
    source, to = pair
    kind = KINDS[str(source.dtype).removeprefix("paddle.")]
    return Widening(source.data_ptr(), to.data_ptr(), source.size, kind)


class Compiled:
    """The blocks of one model as the C++ side reads them, with what they were read from."""

    def __init__(self, stack: Any, recipes: list[BlockRecipe], norm: Any) -> None:
        self.recipes, self.norm = recipes, norm
        self.array = (Block * len(recipes))()
        self.fields = columns(self.array, Block, CHANGING)
        kinds = [recipe.attention.layer_type for recipe in recipes]
        self.kinds = {
            kind: np.array([i for i, k in enumerate(kinds) if k == kind]) for kind in set(kinds)
        }
        self.rotates = np.array([recipe.attention.rope is not None for recipe in recipes])
        self._copies: list[tuple[paddle.Tensor, paddle.Tensor]] = []
        self._kept: list[Any] = []  # what the C++ side points to
        self.looked: object | None = None  # the promise under which `fresh` held
        self.batch: int | None = None  # the only batch size that fits, if rows have adapters
        for block, recipe in zip(self.array, recipes, strict=True):
            self._fill(block, recipe)
        last = norm_recipe(norm)
        self.ends = last is not None  # the C++ side computes the norm behind the blocks
        self.last = self._norm(last)
        layers = [stack, *(layer for recipe in recipes for layer in recipe.layers)]
        layers += [] if norm is None else [norm]
        self._widening = (Widening * len(self._copies))(*map(_widening, self._copies))
        self._read = [p for layer in layers for p in layer._parameters.values() if p is not None]
        self._addresses = [tensor.data_ptr() for tensor in self._read]
        self._hooks = hooks_of(layers)
        adapters = (layer for layer in layers if hasattr(layer, "low_rank"))
        self._adapters = [(layer, layer.low_rank()) for layer in adapters]
        held = (layer._sub_layers for layer in layers if layer._sub_layers)
        self._held = [(children, tuple(children.values())) for children in held]

    def fresh(self) -> bool:
        """Whether layers and parameters are those that were read, and no layer has a hook.

        An adapter replaces layers, and says what it adds at present; training changes parameters
        where they are.
        """
        if any(self._hooks) or any(tuple(d.values()) != kept for d, kept in self._held):
            return False
        if any(layer.low_rank() != kept for layer, kept in self._adapters):
            return False
        return list(map(paddle.Tensor.data_ptr, self._read)) == self._addresses

    def _fill(self, block: Block, recipe: BlockRecipe) -> None:
        attention, mlp = recipe.attention, recipe.mlp
        for name in ("before_attention", "after_attention", "before_mlp", "after_mlp"):
            setattr(block, name, self._norm(getattr(recipe, name)))
        block.query_norm = self._norm(attention.query_norm)
        block.key_norm = self._norm(attention.key_norm)
        for name in ("query", "key", "value", "output"):
            setattr(block, name, self._linear(getattr(attention, name)))
        for name in ("up", "down", "gate"):
            linear = getattr(mlp, name)
            if linear is not None:
                setattr(block, name, self._linear(linear))
        block.heads, block.kv_heads = attention.heads, attention.kv_heads
        block.head_dim, block.interleaved = attention.head_dim, ROPE[attention.rope]
        block.activation, block.parallel = ACTIVATIONS[mlp.act], int(recipe.parallel)
        block.scale, block.softcap = attention.scale, attention.softcap or 0.0
        block.residual, block.whole_norms = recipe.residual, int(attention.whole_norms)

    def _norm(self, recipe: NormRecipe | None) -> Norm:
        if recipe is None:
            return Norm()
        parts = [getattr(recipe.layer, name, None) for name in ("weight", "bias")]
        pointers = [None if part is None else self._float32(part).data_ptr() for part in parts]
        size = next((p.shape[0] for p in parts if p is not None), 0)
        return Norm(*pointers, recipe.eps, recipe.offset, {"rms": 1, "layer": 2}[recipe.kind], size)

    def _linear(self, recipe: LinearRecipe) -> LinearLayer:
        adds = (Addition * len(recipe.adds))()
        for addition, low in zip(adds, recipe.adds, strict=True):
            rank = low.a.weight.shape[0]
            addition.a, addition.rank, addition.scale = low.a.weight.data_ptr(), rank, low.scale
            addition.b = low.b.weight.data_ptr() + recipe.begin * rank * 4
            if low.rows is not None:
                sequences = np.array(low.rows, dtype=np.uint8)
                addition.sequences, self.batch = sequences.ctypes.data, len(low.rows)
                self._kept.append(sequences)
        self._kept.append(adds)
        return LinearLayer(self._matrix(recipe), adds, len(adds))

    def _matrix(self, recipe: LinearRecipe) -> Matrix:
        layer, weight, bias = recipe.layer, recipe.layer.weight, recipe.layer.bias
        at = None if bias is None else self._float32(bias).data_ptr() + recipe.begin * 4
        if isinstance(layer, QuantizedLinear):
            parts = (layer.stored, layer.cols, weight, layer.scales, layer.zeros)
            return quantized_matrix(*parts, at, recipe.begin, recipe.end)
        cols = weight.shape[1]
        start = weight.data_ptr() + recipe.begin * cols * weight.element_size()
        kind = KINDS[str(weight.dtype).removeprefix("paddle.")]
        return Matrix(start, None, None, at, recipe.end - recipe.begin, cols, kind, 0)

    def _float32(self, tensor: paddle.Tensor) -> paddle.Tensor:
        """Small vectors are read as float32; those stored smaller are copied before each run."""
        if tensor.dtype == paddle.float32:
            return tensor
        copy = tensor.detach().astype("float32")
        self._copies.append((tensor, copy))
        return copy

    def refresh(self) -> None:
        """Take the copies anew: some changes in place leave no mark on a tensor."""
        if self._copies:
            _widen(self._widening, len(self._copies))


def compile_blocks(blocks: Any, norm: Any = None) -> Compiled | None:
    """Read the recipes of all blocks, and of a norm behind them; None if a block has none that the
    kernel runs.
    """
    recipes = [recipe_of(block) for block in blocks]
    if not recipes or not all(recipe is not None and _runs(recipe) for recipe in recipes):
        return None
    return Compiled(blocks, recipes, norm)


def _runs(recipe: BlockRecipe) -> bool:
    return recipe.mlp.act in ACTIVATIONS and all(_readable(layer) for layer in recipe.layers)


def _readable(layer: Any) -> bool:
    if isinstance(layer, QuantizedLinear):
        return reads(layer.stored, layer.cols, layer.weight, layer.scales, layer.zeros)
    weights = [p for p in layer._parameters.values() if p is not None]
    stored = all(str(w.dtype).removeprefix("paddle.") in KINDS for w in weights)
    return stored and all(w.is_contiguous() for w in weights)
