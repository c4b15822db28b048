"""DeLoRA beside linear layers.

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
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.tuners.tuners_utils import get_pattern_key
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import BufferDict, ParameterDict, kaiming_uniform, new_parameter
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING


def _norm(x: paddle.Tensor, axis: int) -> paddle.Tensor:
    """The Euclidean norm, at least 1e-4; no gradient below, where a plain root would give none."""
    squares = x.square().sum(axis=axis)
    return paddle.where(squares > 1e-8, squares, paddle.full_like(squares, 1e-8)).sqrt()


class DeloraLayer(AdditiveLayer):
    """``B diag(lambda / r / (|A_i| |B_i|)) A``, times the norms of the base weight's columns."""

    adapter_layer_names = ("delora_A", "delora_B", "delora_lambda")
    other_param_names = ("r", "delora_dropout", "delora_w_norm")

    def make_holders(self) -> None:
        self.r: dict[str, int] = {}
        self.delora_dropout = nn.LayerDict()
        self.delora_A, self.delora_B = ParameterDict(), ParameterDict()
        self.delora_lambda = ParameterDict()
        self.delora_w_norm = BufferDict(persistent=True)

    def has(self, adapter: str) -> bool:
        return adapter in self.delora_A

    def update_layer(
        self, adapter_name: str, config: Any, r: int = 0, delora_lambda: float = 15
    ) -> None:
        """Add an adapter. Raises: ValueError unless ``r`` is positive."""
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        self.r[adapter_name] = r
        p = config.module_dropout
        self.delora_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        shape = [int(self.out_features or 0), r]
        self.delora_A[adapter_name] = new_parameter(kaiming_uniform([r, self.in_features]))
        start = np.zeros(shape, "float32") if config.init_weights else kaiming_uniform(shape)
        self.delora_B[adapter_name] = new_parameter(start)
        self.delora_lambda[adapter_name] = new_parameter(np.array([delora_lambda], "float32"))
        with paddle.no_grad():
            weight = self.weight.detach().astype("float32")
            self.delora_w_norm[adapter_name] = weight.square().sum(axis=0).sqrt()
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        return self._through(adapter, self.delora_dropout[adapter](x))

    def _through(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        holders = (self.delora_A, self.delora_B, self.delora_lambda, self.delora_w_norm)
        a_rI, b_Or, strength, norms_I = (h[adapter].astype(x.dtype) for h in holders)
        scaling_r = strength / self.r[adapter] / (_norm(a_rI, 1) * _norm(b_Or, 0))
        return ops.linear(ops.linear(x * norms_I, a_rI) * scaling_r, b_Or)

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        return self._through(adapter, paddle.eye(int(self.in_features), dtype="float32")).T

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True

    def __repr__(self) -> str:
        return "delora." + super().__repr__()


class DeloraModel(SimpleTuner):
    """A model with DeLoRA in it."""

    prefix = "delora_"
    tuner_layer_cls = DeloraLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return layers.is_linear(base)

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        ranks, strengths = config.rank_pattern or {}, config.lambda_pattern or {}
        return {
            "r": ranks.get(get_pattern_key(ranks, key), config.r),
            "delora_lambda": strengths.get(get_pattern_key(strengths, key), config.delora_lambda),
        }
