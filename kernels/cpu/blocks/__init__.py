"""Inference with a decoder: all its blocks in one call of C++, for a prompt or a few new tokens.

In a step of generation it saves some 25 small Paddle ops a block at 3 to 20 microseconds each, and
the copy of the cache that each new token costs. For a prompt it saves passes over the activations,
and multiplies with weights as they are stored.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.blocks.layout import Block, Compiled, Norm, compile_blocks
from hfpaddle.kernels.cpu.library import library
from hfpaddle.layers.cache import (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    Room,
    StaticLayer,
    StaticSlidingWindowLayer,
)
from hfpaddle.layers.recipe import promise

ROOMY = (DynamicLayer, DynamicSlidingWindowLayer, StaticLayer, StaticSlidingWindowLayer)

_blocks = library().hf_blocks  # type: ignore[union-attr]
_blocks.argtypes = [
    *(ctypes.POINTER(Block), ctypes.c_int64, ctypes.POINTER(Norm)),
    *(ctypes.c_void_p, *[ctypes.c_int64] * 3),
]
_blocks.restype = None

_compiled: weakref.WeakKeyDictionary[Any, Compiled | None] = weakref.WeakKeyDictionary()


def infers(x: paddle.Tensor, blocks: Any, state: Any, norm: Any = None) -> bool:
    """Whether the kernel runs this call: inference on causal text with a cache that has room.

    Without a cache, scores are those of a training step to the last bit: some losses compare them.
    """
    if not x.size or paddle.is_grad_enabled() or not len(blocks) or blocks[0].training:
        return False
    if state.attentions is not None or state.extra or not _has_room(state.cache, len(blocks), x):
        return False
    if not all(_plain(mask) for mask in state.masks.values()):
        return False
    if not all(cos.place.is_cpu_place() for cos, _ in state.rope.values()):
        return False  # positions are the caller's
    compiled = _compile(blocks, norm)
    return compiled is not None and compiled.batch in (None, x.shape[0])


def _has_room(cache: Any, count: int, x: paddle.Tensor) -> bool:
    layers = getattr(cache, "layers", ())
    if len(layers) != count:
        return False
    rows, tokens = x.shape[:2]
    for layer in layers:
        if type(layer) not in ROOMY or not layer.can_reserve(rows, tokens):
            return False
        if layer.is_initialized and layer.dtype != paddle.float32:
            return False
    # All are empty, or none is.
    return len({layer.get_seq_length() > 0 for layer in layers}) == 1


def _plain(mask: Any) -> bool:
    return mask.causal and mask.described and mask.packing is None and mask.key_bias is None


def _compile(blocks: Any, norm: Any) -> Compiled | None:
    known, stay = _compiled.get(blocks), promise()
    if known is not None and known.norm is not norm:
        known = None
    if known is not None and stay is not None and known.looked is stay:
        return known
    if known is None or not known.fresh():
        known = _compiled[blocks] = compile_blocks(blocks, norm)
        if known is not None and not known.fresh():  # a layer has a hook
            return None
    if known is not None:
        known.looked = stay
    return known


@implements(ops.run_blocks, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=infers,
            rtol={"float32": 1e-4})  # fmt: skip
def run_blocks_cpu(x: paddle.Tensor, blocks: Any, state: Any, norm: Any = None) -> paddle.Tensor:
    compiled = _compiled[blocks]  # which `infers` has looked at
    assert compiled is not None
    B, S, H = x.shape
    x = x.clone().contiguous()
    kept: list[Any] = []  # what the pointers point to
    rooms, fields = _rooms(state.cache, compiled, x), compiled.fields
    lengths = [room.length for room in rooms]
    fields["keys"][:] = [room.addresses[0] for room in rooms]
    fields["values"][:] = [room.addresses[1] for room in rooms]
    fields["capacity"][:] = [room.capacity for room in rooms]
    fields["held"][:] = lengths
    for kind, layers in compiled.kinds.items():
        mask = state.masks[kind]
        fields["window"][layers] = mask.window or 0
        fields["visible"][layers] = _visible(mask, lengths[layers[0]] + S, kept)
        cos, sin, pairs, rows = _angles(state, kind, kept)
        fields["cos"][layers], fields["sin"][layers] = cos, sin
        fields["pairs"][layers] = pairs * compiled.rotates[layers]
        fields["angle_rows"][layers] = rows
    compiled.refresh()
    _blocks(compiled.array, len(rooms), compiled.last, x.data_ptr(), B, S, H)
    for layer in state.cache.layers:
        layer.appended(S)
    return x if norm is None or compiled.ends else norm(x)


def _rooms(cache: Any, compiled: Compiled, x: paddle.Tensor) -> list[Room]:
    """Return where each block finds and puts keys and values."""
    B, S, _ = x.shape
    sizes = [(r.attention.kv_heads, r.attention.head_dim) for r in compiled.recipes]
    if cache.layers[0].get_seq_length():
        return [layer.reserve(S) for layer in cache.layers]
    pairs = zip(cache.layers, sizes, strict=True)
    return [layer.open(B, *size, S, x) for layer, size in pairs]


def _angles(state: Any, kind: str, kept: list[Any]) -> tuple[int, int, int, int]:
    """Return addresses of cos and sin, pairs and rows of the angles of a layer type."""
    if kind not in state.rope:
        return 0, 0, 0, 1
    cos, sin = (
        t.contiguous() if t.dtype == paddle.float32 else t.astype("float32").contiguous()
        for t in state.rope[kind]
    )
    kept += [cos, sin]
    rows, _, pairs = cos.shape
    return cos.data_ptr(), sin.data_ptr(), pairs, rows


def _visible(mask: Any, keys: int, kept: list[Any]) -> int:
    """Return the address of one byte a key of the room, or 0 if all keys are real."""
    if mask.padding is None:
        return 0
    # A sliding cache's mask tells of the newest keys, a static one's also of those to come.
    padding = mask.padding.numpy()[:, :keys]
    visible = np.zeros((padding.shape[0], keys), dtype=np.uint8)
    visible[:, keys - padding.shape[1] :] = padding
    kept.append(visible)
    return visible.ctypes.data
