"""SHiRA beside linear layers.

Shape letters: O out, I in, n trained elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import BufferDict, ParameterDict, new_parameter, normal
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_VERA_TARGET_MODULES_MAPPING


def random_mask(base_layer: Any, r: int, random_seed: int | None = None, **_: Any) -> paddle.Tensor:
    """Ones at ``r * (I + O)`` places of ``[O, I]``, drawn as peft draws them."""
    inner, out = layers.in_out_features(base_layer)
    generator = rng.Generator()
    if random_seed is not None:
        generator.manual_seed(random_seed)
    mask = np.zeros([out * inner], dtype=bool)
    mask[generator.randperm(out * inner)[: r * (out + inner)]] = True
    return paddle.to_tensor(mask.reshape([out, inner]))


class ShiraLayer(AdditiveLayer):
    """``shira_weight`` ``[n]`` is added to the base weight at ``shira_indices`` ``[2, n]``."""

    adapter_layer_names = ("shira_weight",)
    other_param_names = ("r", "scaling", "shira_indices")

    def make_holders(self) -> None:
        self.r: dict[str, int] = {}
        self.scaling: dict[str, float] = {}
        self.shira_weight = ParameterDict()
        self.shira_indices = BufferDict(persistent=True)

    def has(self, adapter: str) -> bool:
        return adapter in self.shira_weight

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter.

        Raises: ValueError for a rank that asks for more elements than there are, or a mask of
        another number; UnsupportedArgumentError without a function that makes the mask.
        """
        r, inner, out = config.r, int(self.in_features or 0), int(self.out_features or 0)
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        count = r * (inner + out)
        if count > inner * out:
            raise ValueError(
                f"The set rank {r} results in more shira params than the total number of params in "
                f"the base layer {inner * out} and this is not allowed."
            )
        self.r[adapter_name], self.scaling[adapter_name] = r, 1.0
        start = np.zeros([count], "float32") if config.init_weights else normal([count])
        self.shira_weight[adapter_name] = new_parameter(start)
        self.shira_indices[adapter_name] = self._indices(config, count)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _indices(self, config: Any, count: int) -> paddle.Tensor:
        base, place = self.get_base_layer(), self.weight.place
        function = getattr(config, "mask_fn", None)
        if function is None and config.mask_type == "random":
            function = random_mask
        if function is None and config.inference_mode:  # a file brings them
            return paddle.zeros([2, count], dtype="int32").to(place)
        if function is None:
            raise UnsupportedArgumentError(
                f"ShiraConfig: mask_type={config.mask_type!r} needs a function of your own: "
                "config.mask_fn = my_function. 'random' has one."
            )
        mask = function(base, config.r, bias=self.bias is not None, random_seed=config.random_seed)
        found = np.stack(np.nonzero(np.asarray(mask.numpy()) == 1)).astype("int32")
        if found.shape[1] != count:
            raise ValueError(
                f"The SHiRA mask has {found.shape[1]} elements; r * (in + out) = {count} are needed"
            )
        return paddle.to_tensor(found, place=place)

    def set_scale(self, adapter: str, scale: float) -> None:
        """Set the factor of what is added."""
        if adapter in self.scaling:
            self.scaling[adapter] = scale

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        inner, out = int(self.in_features), int(self.out_features)
        rows, columns = self.shira_indices[adapter].astype("int64")
        values = self.shira_weight[adapter].astype("float32") * self.scaling[adapter]
        flat = paddle.zeros([out * inner], dtype="float32").to(values.place)
        flat = paddle.scatter_nd_add(flat, (rows * inner + columns).unsqueeze(-1), values)
        return flat.reshape([out, inner])

    def __repr__(self) -> str:
        return "shira." + super().__repr__()


class ShiraModel(SimpleTuner):
    """A model some elements of whose weights are trained."""

    prefix = "shira_"
    tuner_layer_cls = ShiraLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_VERA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return layers.is_linear(base)
