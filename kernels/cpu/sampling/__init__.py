"""Top-k, top-p and a draw for each row, in one pass or two over its scores; see sampling.cpp.

Sorting a vocabulary and drawing a number for each of its words took longer than a small model's
step. The twister's words are counted on for every word of the vocabulary, as torch draws them, but
turned into numbers only where a word can come out.
"""

from __future__ import annotations

from ctypes import c_float, c_int, c_int64, c_void_p

import numpy as np
import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.core.rng import default_generator
from hfpaddle.kernels.cpu.library import function
from hfpaddle.kernels.cpu.memory import empty

_top_k = function("hf_keep_top_k", *[c_void_p] * 2, *[c_int64] * 3, c_float)
_top_p = function("hf_keep_top_p", *[c_void_p] * 2, *[c_int64] * 2, c_float, c_int64, c_float)
_draw = function("hf_draw", *[c_void_p] * 2, *[c_int64] * 2, *[c_void_p] * 2)
for _function in (_top_k, _top_p, _draw):
    _function.restype = c_int  # nonzero: left to the reference


def cut_short(scores_BV: paddle.Tensor, *_: object, **__: object) -> bool:
    """Whether this implementation takes the call: rows of scores without gradients."""
    graph = paddle.is_grad_enabled() and not scores_BV.stop_gradient
    return scores_BV.ndim == 2 and scores_BV.size > 0 and not graph


@implements(ops.keep_top_k, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=cut_short,
            rtol={"float32": 0.0})  # fmt: skip
def keep_top_k_cpu(scores_BV: paddle.Tensor, top_k: int, value: float) -> paddle.Tensor:
    x, out = scores_BV.contiguous(), empty(scores_BV.shape)
    if _top_k(x.data_ptr(), out.data_ptr(), *x.shape, top_k, value):
        return ops.keep_top_k.reference(scores_BV, top_k, value)
    return out


@implements(ops.keep_top_p, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=cut_short,
            rtol={"float32": 0.0})  # fmt: skip
def keep_top_p_cpu(
    scores_BV: paddle.Tensor, top_p: float, value: float, least: int = 1
) -> paddle.Tensor:
    x, out = scores_BV.contiguous(), empty(scores_BV.shape)
    if _top_p(x.data_ptr(), out.data_ptr(), *x.shape, 1 - top_p, least, value):
        return ops.keep_top_p.reference(scores_BV, top_p, value, least)
    return out


def draws_one(scores_BV: paddle.Tensor, count: int = 1) -> bool:
    """Whether this implementation takes the call: one word a row."""
    return count == 1 and cut_short(scores_BV)


@implements(ops.draw, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=draws_one,
            rtol={"float32": 0.0})  # fmt: skip
def draw_cpu(scores_BV: paddle.Tensor, count: int = 1) -> paddle.Tensor:
    x, out = scores_BV.contiguous(), empty([scores_BV.shape[0], 1], paddle.int64)
    key, position = default_generator.twister()
    at = np.array([position])
    if _draw(x.data_ptr(), out.data_ptr(), *x.shape, key.ctypes.data, at.ctypes.data):
        return ops.draw.reference(scores_BV, count)
    default_generator.set_twister(key, int(at[0]))
    return out
