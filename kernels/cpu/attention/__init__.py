"""Attention that never holds the matrix of scores, forward and backward; see attention.h.

Memory is linear in the number of tokens. Causal and windowed calls compute what is seen, packed
samples only themselves.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle.autograd import PyLayer

from hfpaddle import ops
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.autograd import sources, wanted
from hfpaddle.kernels.cpu.library import library
from hfpaddle.kernels.cpu.memory import empty

FAR = 1 << 30  # a window that hides nothing

# Queries that share a key/value head. Fewer fill too little of a vector: one new token's attention
# to 1,000 keys by 3 heads takes 185 us here and 130 us by Paddle's products.
FEWEST_QUERIES = 8


class View(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("head", ctypes.c_int64),
        ("row", ctypes.c_int64),
    ]


class Attention(ctypes.Structure):
    """Mirrors the structure of attention.h."""

    _fields_ = [
        *((name, View) for name in ("q", "k", "v", "bias")),
        ("seen", ctypes.c_void_p),
        ("seen_batch", ctypes.c_int64),
        ("seen_key", ctypes.c_int64),
        ("sequences", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("count", "heads", "kv_heads", "size", "value_size")),
        *((name, ctypes.c_int64) for name in ("rows", "offset", "window")),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("causal", ctypes.c_int32),
    ]


_library: Any = library()
_forward, _backward = _library.hf_attention, _library.hf_attention_backward
_forward.argtypes = [ctypes.POINTER(Attention), ctypes.POINTER(View), ctypes.c_void_p]
_backward.argtypes = [
    *[ctypes.POINTER(Attention), ctypes.POINTER(View), ctypes.POINTER(View), ctypes.c_void_p],
    *[ctypes.POINTER(View)] * 3,
]
_forward.restype = _backward.restype = None


@dataclass(frozen=True)
class Call:
    """What a call computes, besides its queries, keys and values."""

    scale: float
    softcap: float | None
    bias: paddle.Tensor | None
    mask: ops.Visibility | None
    lengths: tuple[int, ...] | None


@functools.lru_cache(maxsize=64)
def samples(lengths: tuple[int, ...] | None, batch: int, queries: int, keys: int) -> Any:
    """Return ``[count, 5]`` of batch, first query, queries, first key, keys.

    None if a packed sample crosses rows, is empty, or the samples do not fill the rows.
    """
    if lengths is None:
        return np.array([[b, 0, queries, 0, keys] for b in range(batch)], np.int64)
    rows, used = [], 0
    if sum(lengths) != batch * queries or queries != keys:
        return None
    for length in lengths:
        row, begin = divmod(used, queries)
        if length <= 0 or begin + length > queries:
            return None
        rows.append((row, begin, length, begin, length))
        used += length
    return np.array(rows, np.int64)


def view(tensor: paddle.Tensor, kept: list[Any]) -> View:
    """Describe ``[B, N, S, D]``; axes of size 1 repeat. ``kept`` holds what must outlive it."""
    strides = tensor.strides
    if strides[-1] != 1 and tensor.shape[-1] != 1:
        tensor = tensor.contiguous()
        strides = tensor.strides
    kept.append(tensor)
    steps = (0 if n == 1 else s for n, s in zip(tensor.shape[:3], strides[:3], strict=True))
    return View(tensor.data_ptr(), *steps)


def describe(call: Call, q: paddle.Tensor, k: paddle.Tensor, v: paddle.Tensor) -> Attention:
    """Fill in the structure; it keeps its tensors alive."""
    B, N, S, D = q.shape
    _, K, T, E = v.shape
    kept: list[Any] = []
    rows = samples(call.lengths, B, S, T)
    mask, bias = call.mask, call.bias
    if mask is not None and not mask.described:
        bias, mask = mask.dense(q.place), None
    a = Attention(
        *(view(t, kept) for t in (q, k, v)),
        **{"sequences": rows.ctypes.data, "count": len(rows), "heads": N, "kv_heads": K},
        **{"size": D, "value_size": E, "rows": S, "scale": call.scale},
        softcap=call.softcap or 0.0,
    )
    if mask is not None:
        a.causal, a.window = mask.causal, min(mask.window or 0, FAR)
        a.offset = mask.offset - mask.key_offset if call.lengths is None else 0
        if mask.key_bias is not None:
            bias = mask.key_bias.unsqueeze(2)
        if mask.padding is not None and call.lengths is None:
            strides, few = mask.padding.strides, mask.padding.shape[0] == 1
            a.seen, a.seen_key = mask.padding.data_ptr(), strides[1]
            a.seen_batch = 0 if few else strides[0]
    if bias is not None:
        a.bias = view(bias, kept)
    a.kept = (kept, rows, mask)  # type: ignore[attr-defined]
    return a


def forward(
    call: Call, q: paddle.Tensor, k: paddle.Tensor, v: paddle.Tensor, need_norms: bool
) -> tuple[paddle.Tensor, paddle.Tensor | None]:
    """Return ``[B, S, N, E]`` and what the backward pass needs, ``[B, N, S, 2]``."""
    B, N, S, _ = q.shape
    out = empty([B, S, N, v.shape[-1]])
    norms = empty([B, N, S, 2]) if need_norms else None
    described = describe(call, q, k, v)
    _forward(described, view(turn(out), []), None if norms is None else norms.data_ptr())
    return out, norms


def turn(tensor: paddle.Tensor) -> paddle.Tensor:
    """Exchange heads and rows; a view."""
    return tensor.transpose([0, 2, 1, 3])


class Fused(PyLayer):
    """Saves its inputs, output and two numbers a query and head."""

    @staticmethod
    def forward(ctx, q, k, v, call, places):
        ctx.call, ctx.places = call, places
        # What recomputation saves loses its strides (Paddle 3.3), so save what has none of its own.
        ctx.turned = [not t.is_contiguous() for t in (q, k, v)]
        saved = [
            turn(t).contiguous() if turned else t
            for t, turned in zip((q, k, v), ctx.turned, strict=True)
        ]
        q, k, v = (turn(t) if turned else t for t, turned in zip(saved, ctx.turned, strict=True))
        out, norms = forward(call, q, k, v, need_norms=True)
        ctx.save_for_backward(*saved, out, norms)
        return out

    @staticmethod
    def backward(ctx, dout):
        *saved, out, norms = ctx.saved_tensor()
        q, k, v = (turn(t) if turned else t for t, turned in zip(saved, ctx.turned, strict=True))
        if paddle.is_grad_enabled():
            raise UnsupportedArgumentError(
                "create_graph=True: attention has no second derivative, since Paddle's softmax has "
                "none. Leave create_graph out, or keep attention outside what it covers."
            )
        described, kept = describe(ctx.call, q, k, v), []
        # Gradients lie in memory as queries, keys and values usually do.
        shapes = ([t.shape[i] for i in (0, 2, 1, 3)] for t in (q, k, v))
        grads = [turn(empty(shape)) for shape in shapes]
        views = (view(turn(t), kept) for t in (out, dout))
        _backward(described, *views, norms.data_ptr(), *(view(t, kept) for t in grads))
        wants = wanted(ctx.places)
        return tuple(g if want else None for g, want in zip(grads, wants, strict=True))


def run(call: Call, q: paddle.Tensor, k: paddle.Tensor, v: paddle.Tensor) -> paddle.Tensor:
    if paddle.is_grad_enabled() and not all(t.stop_gradient for t in (q, k, v)):
        return Fused.apply(q, k, v, call, sources(q, k, v))
    return forward(call, q, k, v, need_norms=False)[0]


def fits(
    q: paddle.Tensor,
    k: paddle.Tensor,
    v: paddle.Tensor,
    bias: paddle.Tensor | None,
    mask: ops.Visibility | None,
    dropout: float,
) -> bool:
    """Whether sizes, types and wanted gradients are those of the kernel."""
    if dropout or not q.ndim == k.ndim == v.ndim == 4 or 0 in (*q.shape, *k.shape, *v.shape):
        return False
    if k.dtype != paddle.float32 or v.dtype != paddle.float32 or q.shape[1] % k.shape[1]:
        return False
    if k.shape[:3] != v.shape[:3] or q.shape[0] != k.shape[0] or q.shape[-1] != k.shape[-1]:
        return False
    if mask is not None:
        if bias is not None or (mask.described and mask.window is not None and mask.window <= 0):
            return False
        if mask.padding is not None and not mask.padding.place.is_cpu_place():
            return False  # it is the caller's
        bias = mask.key_bias if mask.described else mask.dense(q.place)
    if bias is None:
        return True
    # The bias has no gradient here.
    constant = bias.stop_gradient or not paddle.is_grad_enabled()
    return constant and bias.dtype == paddle.float32


def takes(
    q, k, v, bias=None, *, scale, softcap=None, dropout=0.0, blind=False, mask=None,
    need_weights=True,
) -> bool:  # fmt: skip
    """Whether `attention_cpu` runs this call."""
    if need_weights or not fits(q, k, v, bias, mask, dropout):
        return False
    if q.shape[1] // k.shape[1] * q.shape[2] < FEWEST_QUERIES:
        return False
    if mask is not None:
        if mask.packing is not None or (mask.queries, mask.keys) != (q.shape[2], k.shape[2]):
            return False
        bias = None if mask.described else mask.dense(q.place)
    whole = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    if bias is None:
        return True
    pairs = zip(bias.shape, whole, strict=True) if bias.ndim == 4 else [(0, 1)]
    return bias.shape[-1] == whole[-1] and all(n in (1, full) for n, full in pairs)


def takes_packed(
    q, k, v, lengths: Sequence[int], bias=None, *, scale, softcap=None, dropout=0.0, mask=None
) -> bool:
    """Whether `packed_attention_cpu` runs this call."""
    if not fits(q, k, v, bias, mask, dropout) or (mask is not None and not mask.described):
        return False
    longest = max(lengths, default=0)
    if bias is not None:
        N, M = q.shape[1], bias.shape[-1]
        heads = bias.ndim == 4 and bias.shape[0] == 1 and bias.shape[1] in (1, N)
        if not heads or M < longest or (bias.shape[2] != 1 and bias.shape[2] < longest):
            return False
    return samples(tuple(lengths), q.shape[0], q.shape[2], k.shape[2]) is not None


@implements(ops.attention, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=takes,
            rtol={"float32": 1e-5})  # fmt: skip
def attention_cpu(
    q, k, v, bias=None, *, scale, softcap=None, dropout=0.0, blind=False, mask=None,
    need_weights=True,
):  # fmt: skip
    return run(Call(scale, softcap, bias, mask, None), q, k, v), None


@implements(ops.packed_attention, name="cpu", devices=("cpu",), dtypes=("float32",),
            accepts=takes_packed, rtol={"float32": 1e-5})  # fmt: skip
def packed_attention_cpu(
    q, k, v, lengths, bias=None, *, scale, softcap=None, dropout=0.0, mask=None
):
    return run(Call(scale, softcap, bias, mask, tuple(lengths)), q, k, v)
