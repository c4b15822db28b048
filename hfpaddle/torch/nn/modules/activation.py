"""Activations and attention."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn import init
from hfpaddle.torch.nn.modules._simple import simple
from hfpaddle.torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from hfpaddle.torch.nn.modules.module import Module
from hfpaddle.torch.nn.parameter import empty_parameter

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU",
    "LogSigmoid", "LogSoftmax", "Mish", "MultiheadAttention", "PReLU", "ReLU", "ReLU6", "SELU",
    "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Threshold",
]  # fmt: skip

ReLU = simple("ReLU", F.relu, "max(x, 0).", inplace=False)
ReLU6 = simple("ReLU6", F.relu6, "min(max(x, 0), 6).", inplace=False)
SiLU = simple("SiLU", F.silu, "x * sigmoid(x).", inplace=False)
Mish = simple("Mish", F.mish, "x * tanh(softplus(x)).", inplace=False)
SELU = simple("SELU", F.selu, "ELU of self-normalising networks.", inplace=False)
Hardswish = simple("Hardswish", F.hardswish, "x * relu6(x + 3) / 6.", inplace=False)
Hardsigmoid = simple("Hardsigmoid", F.hardsigmoid, "relu6(x + 3) / 6.", inplace=False)
GELU = simple("GELU", F.gelu, "x * Phi(x), or its tanh form.", approximate="none")
ELU = simple("ELU", F.elu, "x, or alpha * (exp(x) - 1) below 0.", alpha=1.0, inplace=False)
CELU = simple("CELU", F.celu, "ELU with a continuous slope.", alpha=1.0, inplace=False)
LeakyReLU = simple(
    "LeakyReLU", F.leaky_relu, "x, or a part of it below 0.", negative_slope=0.01, inplace=False
)
Hardtanh = simple("Hardtanh", F.hardtanh, "x cut.", min_val=-1.0, max_val=1.0, inplace=False)
Hardshrink = simple("Hardshrink", F.hardshrink, "x, or 0 near 0.", lambd=0.5)
Softshrink = simple("Softshrink", F.softshrink, "x moved towards 0.", lambd=0.5)
Softplus = simple("Softplus", F.softplus, "log(1 + exp(x)).", beta=1.0, threshold=20.0)
Softsign = simple("Softsign", F.softsign, "x / (1 + |x|).")
Tanhshrink = simple("Tanhshrink", F.tanhshrink, "x - tanh(x).")
Sigmoid = simple("Sigmoid", F.sigmoid, "1 / (1 + exp(-x)).")
Tanh = simple("Tanh", F.tanh, "Hyperbolic tangent.")
LogSigmoid = simple("LogSigmoid", F.logsigmoid, "log(sigmoid(x)).")
GLU = simple("GLU", F.glu, "First half times sigmoid of the second.", dim=-1)
Softmax = simple("Softmax", F.softmax, "Softmax over dim.", dim=None)
Softmin = simple("Softmin", F.softmin, "Softmax of the negated input.", dim=None)
LogSoftmax = simple("LogSoftmax", F.log_softmax, "Logarithm of softmax.", dim=None)


class Threshold(Module):
    """x where it is above ``threshold``, else ``value``."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input):
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class PReLU(Module):
    """Leaky ReLU whose slopes are learnt."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = empty_parameter([num_parameters], device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All slopes ``init``."""
        init.constant_(self.weight, self.init)

    def forward(self, input):
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class MultiheadAttention(Module):
    """Attention with projections, as ``F.multi_head_attention_forward``.

    Args:
        kdim, vdim: sizes of keys and values where they differ from ``embed_dim``.
        batch_first: inputs are ``[B, S, E]``, not ``[S, B, E]``.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"embed_dim must be a positive multiple of num_heads, got embed_dim={embed_dim} "
                f"and num_heads={num_heads}"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.batch_first, self.head_dim = batch_first, embed_dim // num_heads
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        shapes: dict[str, list[int] | None] = dict.fromkeys(
            ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight")
        )
        if self._qkv_same_embed_dim:
            shapes = {"in_proj_weight": [3 * embed_dim, embed_dim]} | {
                name: None for name in shapes if name != "in_proj_weight"
            }
        else:
            widths = (embed_dim, self.kdim, self.vdim)
            for name, width in zip(list(shapes)[:3], widths, strict=True):
                shapes[name] = [embed_dim, width]
        for name, shape in shapes.items():
            made = None if shape is None else empty_parameter(shape, device, dtype)
            self.register_parameter(name, made)
        made = empty_parameter([3 * embed_dim], device, dtype) if bias else None
        self.register_parameter("in_proj_bias", made)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        for name in ("bias_k", "bias_v"):
            made = empty_parameter([1, 1, embed_dim], device, dtype) if add_bias_kv else None
            self.register_parameter(name, made)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        names = ("in_proj_weight",) if self._qkv_same_embed_dim else (
            "q_proj_weight", "k_proj_weight", "v_proj_weight"
        )  # fmt: skip
        for name in names:
            init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self, query, key, value, key_padding_mask=None, need_weights: bool = True, attn_mask=None,
        average_attn_weights: bool = True, is_causal: bool = False,
    ):  # fmt: skip
        swap = self.batch_first and query.ndim == 3
        if swap:
            query, key, value = (paddle.transpose(x, [1, 0, 2]) for x in (query, key, value))
        out, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight,
            self.in_proj_bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout,
            self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask,
            need_weights, attn_mask,
            not self._qkv_same_embed_dim, self.q_proj_weight, self.k_proj_weight,
            self.v_proj_weight, average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        return (paddle.transpose(out, [1, 0, 2]) if swap else out), weights
