"""A layer's experts in one call of C++; see experts.h.

For a few tokens it saves some eight small Paddle ops an expert, and reads each weight once in its
stored form. For many it unpacks a few rows at a time, where the reference widens whole weights.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import paddle

from hfpaddle import ops
from hfpaddle.core.op import implements
from hfpaddle.kernels.cpu.blocks.layout import ACTIVATIONS
from hfpaddle.kernels.cpu.experts.layout import Expert, Mixture
from hfpaddle.kernels.cpu.library import library
from hfpaddle.kernels.cpu.memory import empty

_experts = library().hf_experts  # type: ignore[union-attr]
_experts.argtypes = [
    *(ctypes.POINTER(Expert), ctypes.c_int64, ctypes.c_int32),
    *[ctypes.c_void_p] * 4,
    *(ctypes.c_int64, ctypes.c_int64),
]
_experts.restype = None

# More tokens than a step of generation has: float32 experts then give what they do in training, to
# the last bit, so that a reference model's scores equal those of the model it was copied from.
MOST_TOKENS = 8

_mixtures: weakref.WeakKeyDictionary[Any, Mixture] = weakref.WeakKeyDictionary()


def readable(
    x_TH: paddle.Tensor, weights_Tk: paddle.Tensor, index_Tk: paddle.Tensor, layers: Any
) -> bool:
    """Whether this implementation takes the call: inference on experts that it can read."""
    if paddle.is_grad_enabled() or x_TH.shape[0] == 0 or index_Tk.dtype != paddle.int64:
        return False
    weight = layers[0].parameters()[0] if len(layers[0].parameters()) else None
    if x_TH.shape[0] > MOST_TOKENS and weight is not None and weight.dtype == paddle.float32:
        return False
    mixture = _mixtures.get(layers)
    if mixture is None:
        mixture = _mixtures[layers] = Mixture()
    return mixture.read(layers, set(index_Tk.flatten().tolist()), x_TH.shape[1])


@implements(ops.experts, name="cpu", devices=("cpu",), dtypes=("float32",), accepts=readable,
            rtol={"float32": 1e-5})  # fmt: skip
def experts_cpu(
    x_TH: paddle.Tensor, weights_Tk: paddle.Tensor, index_Tk: paddle.Tensor, layers: Any
) -> paddle.Tensor:
    mixture = _mixtures[layers]  # which `readable` has filled
    x_TH, index_Tk = x_TH.contiguous(), index_Tk.contiguous()
    weights_Tk = weights_Tk.astype("float32").contiguous()
    out_TH = empty(x_TH.shape)
    _experts(
        *(mixture.array, len(mixture.array), ACTIVATIONS[mixture.act]),
        *(t.data_ptr() for t in (x_TH, index_Tk, weights_Tk, out_TH)),
        *index_Tk.shape,
    )
    return out_TH
