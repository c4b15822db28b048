"""A step of generation: every decoder block for a few new tokens in one call of C++.

What it saves is not arithmetic, which the reading of the weights hides, but some 25 small Paddle
ops a block at 3 to 20 microseconds each, and the copy of the cache that each new token costs.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.blocks.layout import Block, Compiled, compile_blocks
from hfpaddle.kernels.cpu.library import library
from hfpaddle.layers.cache import DynamicLayer, DynamicSlidingWindowLayer

MOST_TOKENS = 8

_blocks = library().hf_blocks  # type: ignore[union-attr]
_blocks.argtypes = [ctypes.POINTER(Block), ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 3]
_blocks.restype = None

_compiled: weakref.WeakKeyDictionary[Any, Compiled | None] = weakref.WeakKeyDictionary()


def a_step(x: paddle.Tensor, blocks: Any, state: Any) -> bool:
    """Whether the kernel runs this call: inference on a few tokens behind those in a cache."""
    B, S, _ = x.shape
    if not 0 < B * S <= MOST_TOKENS or paddle.is_grad_enabled() or not len(blocks):
        return False
    if state.attentions is not None or state.cache is None or state.extra or blocks[0].training:
        return False
    layers = getattr(state.cache, "layers", ())
    if len(layers) != len(blocks) or not all(_can_grow(layer) for layer in layers):
        return False
    if not all(_plain(mask) for mask in state.masks.values()):
        return False
    return _compile(blocks) is not None


def _can_grow(layer: Any) -> bool:
    if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) or not layer.is_initialized:
        return False
    recording = getattr(layer, "record_past", False)
    return layer.get_seq_length() > 0 and layer.dtype == paddle.float32 and not recording


def _plain(mask: Any) -> bool:
    return mask.causal and mask.described and mask.packing is None and mask.key_bias is None


def _compile(blocks: Any) -> Compiled | None:
    known = _compiled.get(blocks)
    if known is None or not known.fresh():
        known = _compiled[blocks] = compile_blocks(blocks)
        if known is not None and not known.fresh():  # a layer has a hook
            return None
    return known


@implements(ops.run_blocks, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=a_step,
            rtol={"float32": 1e-4})  # fmt: skip
def run_blocks_cpu(x: paddle.Tensor, blocks: Any, state: Any) -> paddle.Tensor:
    compiled = _compiled[blocks]  # which `a_step` has looked at
    assert compiled is not None
    B, S, H = x.shape
    x = x.clone().contiguous()
    kept: list[Any] = []  # what the pointers point to
    shared = {kind: _shared(state, kind, kept) for kind in state.masks}
    layers = state.cache.layers
    for block, recipe, layer in zip(compiled.blocks, compiled.recipes, layers, strict=True):
        room = layer.reserve(S)
        block.keys, block.values = room.keys.data_ptr(), room.values.data_ptr()
        block.capacity, block.held = room.capacity, room.length
        mask, cos, sin, pairs, rows = shared[recipe.attention.layer_type]
        block.window = mask.window or 0
        block.cos, block.sin = cos, sin
        block.pairs = 0 if recipe.attention.rope is None else pairs
        block.angle_rows = rows
        block.visible = _visible(mask, room.length + S, kept)
    _blocks(compiled.array, len(layers), x.data_ptr(), B, S, H)
    for layer in layers:
        layer.appended(S)
    return x


def _shared(state: Any, kind: str, kept: list[Any]) -> tuple[Any, ...]:
    """Return mask, addresses of cos and sin, pairs and rows of the angles of a layer type."""
    if kind not in state.rope:
        return state.masks[kind], None, None, 0, 1
    cos, sin = (t.astype("float32").contiguous() for t in state.rope[kind])
    kept += [cos, sin]
    return state.masks[kind], cos.data_ptr(), sin.data_ptr(), cos.shape[-1], cos.shape[0]


def _visible(mask: Any, keys: int, kept: list[Any]) -> int | None:
    """Return the address of one byte a key of the room, or None if all keys are real."""
    if mask.padding is None:
        return None
    padding = mask.padding.numpy()
    visible = np.zeros((padding.shape[0], keys), dtype=np.uint8)
    visible[:, keys - padding.shape[1] :] = padding
    kept.append(visible)
    return visible.ctypes.data
