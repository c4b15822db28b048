"""GraLoRA beside linear layers.

Shape letters: O out, I in, r rank, k blocks on each side.
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
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import (
    ParameterDict,
    kaiming_uniform,
    made_linear,
    new_parameter,
    write,
)
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from hfpaddle.peft.utils.other import transpose


class GraloraLayer(AdditiveLayer):
    """``A`` ``[k, I / k, r]`` and ``B`` ``[k, r, O / k]``: block ``(m, n)`` of the weight has the
    ``m``-th part of the ranks of ``A[n]`` and the ``n``-th of ``B[m]``.
    """

    adapter_layer_names = ("gralora_A", "gralora_B", "gralora_A_general", "gralora_B_general")
    other_param_names = ("r", "hybrid_r", "alpha", "scaling", "gralora_dropout", "gralora_k")

    def make_holders(self) -> None:
        for name in ("r", "hybrid_r", "alpha", "scaling", "gralora_k"):
            setattr(self, name, {})
        self.gralora_dropout = nn.LayerDict()
        self.gralora_A, self.gralora_B = ParameterDict(), ParameterDict()
        self.gralora_A_general, self.gralora_B_general = nn.LayerDict(), nn.LayerDict()

    def has(self, adapter: str) -> bool:
        return adapter in self.gralora_A

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter. Raises: ValueError for ranks or blocks that do not fit."""
        r, more, k = config.r, config.hybrid_r, config.gralora_k
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        if more < 0:
            raise ValueError(
                f"`hybrid_r` should be a non-negative integer value but the value passed is {more}"
            )
        inner, out = int(self.in_features or 0), int(self.out_features or 0)
        for name, size in (("in_features", inner), ("out_features", out)):
            if size % k:
                raise ValueError(f"{name} should be divisible by gralora_k, but got {size} and {k}")
        p = config.gralora_dropout
        self.gralora_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        a, b = [], []
        for _ in range(k):
            a.append(kaiming_uniform([r, inner // k]))
            shape = [out // k, r]
            b.append(np.zeros(shape, "float32") if config.init_weights else kaiming_uniform(shape))
        self.gralora_A[adapter_name] = new_parameter(np.stack(a).transpose([0, 2, 1]).copy())
        self.gralora_B[adapter_name] = new_parameter(np.stack(b).transpose([0, 2, 1]).copy())
        first, second = self._general(more, config.init_weights)
        self.gralora_A_general[adapter_name] = first
        self.gralora_B_general[adapter_name] = second
        sizes = {"r": r, "hybrid_r": more, "alpha": config.alpha, "gralora_k": k}
        for name, value in {**sizes, "scaling": config.alpha / (r + more)}.items():
            getattr(self, name)[adapter_name] = value
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _general(self, r: int, quiet: bool) -> tuple[Any, Any]:
        """Factors over the whole weight, of rank ``r``."""
        if not r:
            return Identity(), Identity()
        first = made_linear(self.in_features, r)
        second = made_linear(r, self.out_features)
        write(first.weight, kaiming_uniform(first.weight.shape))
        shape = second.weight.shape
        write(second.weight, np.zeros(shape, "float32") if quiet else kaiming_uniform(shape))
        return first, second

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        dropout = self.gralora_dropout[adapter]
        x = self._cast_input_dtype(x, self.gralora_A[adapter])
        result = self._through(adapter, dropout(x))
        if self.hybrid_r[adapter]:  # type: ignore[attr-defined]
            first, second = self.gralora_A_general[adapter], self.gralora_B_general[adapter]
            middle = ops.linear(dropout(x), first.weight.astype(x.dtype))
            result = result + ops.linear(middle, second.weight.astype(x.dtype))
        return result * self.scaling[adapter]  # type: ignore[attr-defined]

    def _through(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        a, b = self.gralora_A[adapter].astype(x.dtype), self.gralora_B[adapter].astype(x.dtype)
        k, lead = int(a.shape[0]), list(x.shape[:-1])
        # Every block of inputs gives r numbers; each block of outputs takes its share of all.
        parts = x.reshape([-1, k, a.shape[1]]).transpose([1, 0, 2]) @ a
        tokens, r = parts.shape[1], parts.shape[2]
        shares = parts.reshape([k, tokens, k, r // k]).transpose([2, 1, 0, 3])
        out = shares.reshape([k, tokens, r]) @ b
        return out.transpose([1, 0, 2]).reshape([*lead, -1])

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        one = paddle.eye(int(self.in_features), dtype="float32")
        delta = self._through(adapter, one)
        if self.hybrid_r[adapter]:  # type: ignore[attr-defined]
            first, second = self.gralora_A_general[adapter], self.gralora_B_general[adapter]
            first, second = (f.weight.astype("float32") for f in (first, second))
            delta = delta + (second @ first).T
        delta = delta.T * self.scaling[adapter]  # type: ignore[attr-defined]
        return transpose(delta, self.fan_in_fan_out)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True

    def __repr__(self) -> str:
        return "gralora." + super().__repr__()


class GraloraModel(SimpleTuner):
    """A model with GraLoRA in it."""

    prefix = "gralora_"
    tuner_layer_cls = GraloraLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return super().supports(base) or layers.is_conv1d_linear(base)
