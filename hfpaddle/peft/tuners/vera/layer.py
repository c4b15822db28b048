"""VeRA beside linear layers.

Shape letters: O out, I in, r rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.basic import Dropout
from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.tuners.lora.layer import Identity
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal
from hfpaddle.peft.utils.other import transpose


class VeraLayer(AdditiveLayer):
    """``b * (B (d * (A x)))`` with ``A`` and ``B`` cut out of the shared ones."""

    adapter_layer_names = ("vera_lambda_b", "vera_lambda_d")
    other_param_names = ("vera_A", "vera_B", "vera_dropout", "r")

    def make_holders(self) -> None:
        self.r: dict[str, int] = {}
        self.vera_A: dict[str, paddle.Tensor] = {}
        self.vera_B: dict[str, paddle.Tensor] = {}
        self.vera_dropout = nn.LayerDict()
        self.vera_lambda_b, self.vera_lambda_d = ParameterDict(), ParameterDict()

    def has(self, adapter: str) -> bool:
        return adapter in self.r

    def update_layer(self, adapter_name: str, config: Any, shared: Any = None) -> None:
        """Add an adapter.

        Args:
            shared: the tuner's projections, ``(A, B)`` by adapter name.
        Raises: ValueError unless the rank is positive and the projections are large enough.
        """
        r, (all_a, all_b) = config.r, shared
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        a, b = all_a[adapter_name], all_b[adapter_name]
        for name, have, need in (
            ("vera_A", a.shape, [r, self.in_features]),
            ("vera_B", b.shape, [self.out_features, r]),
        ):
            if any(size < wanted for size, wanted in zip(have, need, strict=True)):
                raise ValueError(
                    f"{name} has a size of {list(have)} but {need} or greater is required; this "
                    "probably happened because an additional VeRA adapter was added after the "
                    "first one with incompatible shapes."
                )
        self.r[adapter_name] = r
        # Views by number, not attributes: the tuner owns what all layers share.
        self.vera_A[adapter_name], self.vera_B[adapter_name] = a, b
        p = config.vera_dropout
        self.vera_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        drawn, ones = normal([r]), np.ones([self.out_features], "float32")
        if config.init_weights:
            drawn, ones = np.full([r], config.d_initial, "float32"), np.zeros_like(ones)
        self.vera_lambda_b[adapter_name] = new_parameter(ones)
        self.vera_lambda_d[adapter_name] = new_parameter(drawn)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _cut(self, adapter: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        place = self.vera_lambda_d[adapter].place
        a = self.vera_A[adapter][:, : self.in_features]
        b = self.vera_B[adapter][: self.out_features, :]
        return a.to(place), b.to(place)

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        a_rI, b_Or = self._cut(adapter)
        d, b = self.vera_lambda_d[adapter].unsqueeze(-1), self.vera_lambda_b[adapter].unsqueeze(-1)
        dtype = a_rI.dtype
        product = (b.astype(dtype) * b_Or) @ (d.astype(dtype) * a_rI)
        return transpose(product, self.fan_in_fan_out)

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        a_rI, b_Or = self._cut(adapter)
        x = self._cast_input_dtype(x, self.vera_lambda_d[adapter])
        d = self.vera_lambda_d[adapter].astype(x.dtype)
        b = self.vera_lambda_b[adapter].astype(x.dtype)
        return b * ops.linear(d * ops.linear(self.vera_dropout[adapter](x), a_rI), b_Or)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True

    def __repr__(self) -> str:
        return "vera." + super().__repr__()
