"""Scales beside linear layers and convolutions.

Shape letters: I in, O out.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.layers.vision import PatchConv
from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal, write
from hfpaddle.peft.utils.other import transpose

_TINY = 1e-8  # keeps unmerging finite where a scale is zero


class IA3Layer(BaseTunerLayer):
    """A base layer whose input (feed-forward) or output is multiplied.

    The scale of a linear layer is ``[1, I]`` or ``[O, 1]``, of a convolution ``[1, C, 1 ...]``.
    """

    adapter_layer_names = ("ia3_l",)

    def __init__(
        self, base_layer: nn.Layer, adapter_name: str, config: Any, is_feedforward: bool = False
    ) -> None:
        super().__init__(base_layer)
        base = self.get_base_layer()
        self.fan_in_fan_out = layers.is_conv1d_linear(base) or layers.is_paddle_linear(base)
        self.is_feedforward = is_feedforward
        self._active_adapter = adapter_name
        self.ia3_l = ParameterDict()
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: Any, is_feedforward: bool = False) -> None:
        """Add an adapter."""
        size = self.in_features if self.is_feedforward else self.out_features
        dims = layers.conv_dims(self.get_base_layer())
        shape = [1, size] if dims or self.is_feedforward else [size, 1]
        shape += [1] * dims
        self.ia3_l[adapter_name] = new_parameter(normal(shape))
        if config.init_ia3_weights:
            write(self.ia3_l[adapter_name], np.ones(shape, "float32"))
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _weight_scale(self, adapter: str) -> paddle.Tensor:
        """The scale in a shape that multiplies the base weight, float32."""
        scale = self.ia3_l[adapter].detach().astype("float32")
        base = self.get_base_layer()
        if not layers.conv_dims(base):
            return transpose(scale, self.fan_in_fan_out)
        if not self.is_feedforward:
            return scale.transpose([1, 0, *range(2, scale.ndim)])
        groups = layers.conv_settings(base)["groups"]
        if groups == 1:
            return scale
        # Each group's outputs see their own part of the input.
        out, tail = base.weight.shape[0] // groups, [1] * (scale.ndim - 2)
        rows = scale.reshape([groups, 1, -1]).expand([groups, out, -1])
        return rows.reshape([groups * out, -1, *tail])

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Multiply the base weight, and its bias if outputs are scaled."""
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter in self.ia3_l:
                weight = self.weight.detach().astype("float32") * self._weight_scale(adapter)
                self.set_base_weight(self.checked_finite(weight, adapter) if safe_merge else weight)
                self._scale_bias(self.ia3_l[adapter].detach().astype("float32"))
                self.merged_adapters.append(adapter)

    def _scale_bias(self, scale: paddle.Tensor) -> None:
        if not self.is_feedforward and self.bias is not None:
            write(self.bias, self.bias.detach().astype("float32") * scale.flatten())

    def unmerge(self) -> None:
        """Divide again; not exact, as the original says too."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        warnings.warn("Unmerge result can be inaccurate for (IA)^3.", stacklevel=2)
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            if adapter in self.ia3_l:
                weight = self.weight.detach().astype("float32")
                self.set_base_weight(weight / (self._weight_scale(adapter) + _TINY))
                self._scale_bias(1 / (self.ia3_l[adapter].detach().astype("float32") + _TINY))

    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        own = [self.ia3_l[name] for name in self.active_adapters if name in self.ia3_l]
        if self.disable_adapters or self.merged or not own:
            return self.base_layer(x, *args, **kwargs)
        base = self.get_base_layer()
        flat = not layers.conv_dims(base)
        if isinstance(base, PatchConv) and not self.is_feedforward:
            flat = True  # its channels come last
        scale: Any = 1
        for item in own:
            scale = scale * (item.flatten() if flat else item)
        if self.is_feedforward:
            return self.base_layer((x * scale.astype(x.dtype)), *args, **kwargs)
        result = self.base_layer(x, *args, **kwargs)
        return result * scale.astype(result.dtype)
