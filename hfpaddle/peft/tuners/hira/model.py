"""HiRA beside linear layers.

Shape letters: O out, I in, r rank.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.layers.basic import Dropout
from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.tuners.layer_base import check_adapters_to_merge
from hfpaddle.peft.tuners.lora.layer import Identity
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.tuners.tuners_utils import get_pattern_key
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import (
    ParameterDict,
    compute_dtype,
    kaiming_uniform,
    new_parameter,
    normal,
)
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from hfpaddle.peft.utils.other import transpose


class HiraLayer(AdditiveLayer):
    """``W * (B @ A)`` element by element, with ``A`` ``[r, I]`` and ``B`` ``[O, r]``."""

    adapter_layer_names = ("hira_A", "hira_B", "hira_embedding_A", "hira_embedding_B")
    other_param_names = ("r", "hira_dropout")

    def make_holders(self) -> None:
        self.r: dict[str, int] = {}
        self.hira_dropout = nn.LayerDict()
        self.hira_A, self.hira_B = ParameterDict(), ParameterDict()
        self.hira_embedding_A, self.hira_embedding_B = ParameterDict(), ParameterDict()
        self._weight_before: Any = None

    def has(self, adapter: str) -> bool:
        return adapter in self.hira_A

    def update_layer(self, adapter_name: str, config: Any, r: int = 0) -> None:
        """Add an adapter. Raises: ValueError for a rank or an initialisation that is none."""
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        self.r[adapter_name] = r
        p, start = config.hira_dropout, config.init_weights
        self.hira_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        a, b = normal([r, self.in_features]), normal([self.out_features, r])
        if start is True:
            a = kaiming_uniform([r, self.in_features])
        elif str(start).lower() == "gaussian":
            a = normal([r, self.in_features], 1 / r)
        elif start:
            raise ValueError(f"Unknown initialization init_weights={start!r}")
        self.hira_A[adapter_name] = new_parameter(a)
        self.hira_B[adapter_name] = new_parameter(np.zeros_like(b) if start else b)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def factor(self, adapter: str) -> paddle.Tensor:
        """What the base weight is multiplied by, in its shape."""
        a_rI, b_Or = self.hira_A[adapter], self.hira_B[adapter]
        dtype = compute_dtype(b_Or)
        return transpose(b_Or.astype(dtype) @ a_rI.astype(dtype), self.fan_in_fan_out)

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        factor = self.factor(adapter)
        before = self.weight if self._weight_before is None else self._weight_before
        return before.astype(factor.dtype) * factor

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        x = self._cast_input_dtype(x, self.hira_A[adapter])
        return self.apply_weight(self.get_delta_weight(adapter), self.hira_dropout[adapter](x))

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        names = check_adapters_to_merge(self, adapter_names)
        if any(self.has(name) for name in names) and self._weight_before is None:
            # Every adapter multiplies the weight as it was.
            self._weight_before = self.weight.detach().clone()
        super().merge(safe_merge, names)

    def unmerge(self) -> None:
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        self.set_base_weight(self._weight_before)
        self._weight_before = None
        self.merged_adapters.clear()

    def __repr__(self) -> str:
        return "hira." + super().__repr__()


class HiraModel(SimpleTuner):
    """A model with HiRA in it."""

    prefix = "hira_"
    tuner_layer_cls = HiraLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return super().supports(base) or layers.is_conv1d_linear(base)

    notes_layout = False  # the original leaves the config's fan_in_fan_out as it is

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: nn.Layer, target_name: str,
        parent: nn.Layer, current_key: str,
    ) -> None:  # fmt: skip
        # The original forgets `rank_pattern` for the first adapter of a layer; files say so, too.
        self._patterned = isinstance(target, HiraLayer)
        if peft_config.rank_pattern and not self._patterned:
            warnings.warn(
                "HiRA, as in peft 0.21: `rank_pattern` counts for further adapters of a layer "
                f"only. The first has rank {peft_config.r}.",
                stacklevel=6,
            )
        super()._create_and_replace(
            peft_config, adapter_name, target, target_name, parent, current_key
        )

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        ranks = (config.rank_pattern or {}) if self._patterned else {}
        return {"r": ranks.get(get_pattern_key(ranks, key), config.r)}
