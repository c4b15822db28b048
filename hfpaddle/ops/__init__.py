"""Tensor operations that layers call: one op a file, its reference first.

Raise no device question here: the dispatch in `hfpaddle.core.op` picks the implementation.
"""

from hfpaddle.ops.adam import adam_, scale_, squared_norm
from hfpaddle.ops.attention import Visibility, attention
from hfpaddle.ops.blocks import run_blocks
from hfpaddle.ops.cross_entropy import cross_entropy
from hfpaddle.ops.dropout import dropout
from hfpaddle.ops.experts import experts
from hfpaddle.ops.gated import gated
from hfpaddle.ops.linear import linear
from hfpaddle.ops.norm import layer_norm, rms_norm
from hfpaddle.ops.packed_attention import packed_attention
from hfpaddle.ops.quantized import quantized_linear, quantized_rows
from hfpaddle.ops.rotary import rotary
from hfpaddle.ops.sampling import draw, keep_top_k, keep_top_p

__all__ = [
    "Visibility",
    "adam_",
    "attention",
    "cross_entropy",
    "draw",
    "dropout",
    "experts",
    "gated",
    "keep_top_k",
    "keep_top_p",
    "layer_norm",
    "linear",
    "packed_attention",
    "quantized_linear",
    "quantized_rows",
    "rms_norm",
    "rotary",
    "run_blocks",
    "scale_",
    "squared_norm",
]
