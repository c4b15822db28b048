"""Adapters that add to the base layer's result, and so can be added to its weight."""

from __future__ import annotations

import warnings
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.vision import PatchConv
from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.utils import layers


class AdditiveLayer(BaseTunerLayer):
    """A base layer plus what each adapter adds.

    A method gives `make_holders`, `update_layer`, `has` and `get_delta_weight`; `activation` where
    it need not build the whole weight.
    """

    def __init__(self, base_layer: nn.Layer, adapter_name: str, config: Any, **sizes: Any) -> None:
        super().__init__(base_layer)
        base = self.get_base_layer()
        stored_in_out = layers.is_conv1d_linear(base) or layers.is_paddle_linear(base)
        self.fan_in_fan_out = stored_in_out
        self._active_adapter = adapter_name
        self.make_holders()
        self.update_layer(adapter_name, config, **sizes)

    def make_holders(self) -> None:
        """Make the attributes that hold parameters by adapter name."""
        raise NotImplementedError

    def update_layer(self, adapter_name: str, config: Any, **sizes: Any) -> None:
        """Add an adapter."""
        raise NotImplementedError

    def has(self, adapter: str) -> bool:
        """Whether the adapter has this layer."""
        raise NotImplementedError

    def get_delta_weight(self, adapter: str, **kwargs: Any) -> paddle.Tensor:
        """What the adapter adds to the base weight, in its shape."""
        raise NotImplementedError

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        """What the adapter adds to the result for ``x``."""
        return self.apply_weight(self.get_delta_weight(adapter), x)

    def apply_weight(self, weight: paddle.Tensor, x: paddle.Tensor) -> paddle.Tensor:
        """The base layer's operation with another weight, and no bias."""
        x, base = self._cast_input_dtype(x, weight), self.get_base_layer()
        if isinstance(base, PatchConv):
            kernel = base.weight.shape[2:]
            out = F.conv2d(x, weight.astype(x.dtype), stride=list(kernel))
            return out.transpose([0, 2, 3, 1])
        if dims := layers.conv_dims(base):
            convolve = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
            return convolve(x, weight.astype(x.dtype), None, **layers.conv_settings(base))
        return ops.linear(x, weight.T if self.fan_in_fan_out else weight)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add adapters to the base weight; ``safe_merge`` refuses what is not finite."""
        for adapter in check_adapters_to_merge(self, adapter_names):
            if self.has(adapter):
                self._add(adapter, 1.0, safe_merge)
                self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Take every merged adapter out of the base weight again."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            if self.has(adapter):
                self._add(adapter, -1.0, False)

    def _add(self, adapter: str, sign: float, safe: bool) -> None:
        with paddle.no_grad():
            delta = self.get_delta_weight(adapter).astype("float32")
            weight = self.weight.detach().astype("float32") + sign * delta
        self.set_base_weight(self.checked_finite(weight, adapter) if safe else weight)

    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        dtype = result.dtype
        for adapter in self.active_adapters:
            if self.has(adapter) and not self.dropped(adapter):
                result = result + self.activation(adapter, x)
        return result if result.dtype == dtype else result.astype(dtype)

    def dropped(self, adapter: str) -> bool:
        """Whether this call leaves the adapter out."""
        return False


class ScaledLayer(AdditiveLayer):
    """An additive layer with rank, alpha, and dropout of rows of the weight and of whole calls."""

    other_param_names = (
        "r", "alpha", "scaling", "rank_dropout", "rank_dropout_scale", "module_dropout",
    )  # fmt: skip

    def make_holders(self) -> None:
        for name in self.other_param_names:
            setattr(self, name, {})

    def note_sizes(self, adapter: str, config: Any, r: int, alpha: float) -> None:
        """Keep the sizes of an adapter. Raises: ValueError unless ``r`` is positive."""
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        self.r[adapter], self.alpha[adapter] = r, alpha  # type: ignore[attr-defined]
        self.scaling[adapter] = alpha / r  # type: ignore[attr-defined]
        self.rank_dropout[adapter] = config.rank_dropout  # type: ignore[attr-defined]
        self.module_dropout[adapter] = config.module_dropout  # type: ignore[attr-defined]
        scale = getattr(config, "rank_dropout_scale", True)
        self.rank_dropout_scale[adapter] = scale  # type: ignore[attr-defined]

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        weight = self.get_delta_weight(adapter)
        p = self.rank_dropout[adapter]  # type: ignore[attr-defined]
        if self.training and p:
            # Paddle's own stream: recomputation puts that one back.
            kept = (paddle.rand([weight.shape[0]]) > p).astype(weight.dtype)
            if self.rank_dropout_scale[adapter]:  # type: ignore[attr-defined]
                kept = kept / kept.mean()
            weight = weight * kept.reshape([-1] + [1] * (weight.ndim - 1))
        return self.apply_weight(weight, x)

    def dropped(self, adapter: str) -> bool:
        p = self.module_dropout[adapter]  # type: ignore[attr-defined]
        return bool(self.training and p and paddle.rand([1]).item() <= p)

    def set_scale(self, adapter: str, scale: float) -> None:
        """Set the scaling to ``scale`` times the config's."""
        if self.has(adapter):
            plain = self.alpha[adapter] / self.r[adapter]  # type: ignore[attr-defined]
            self.scaling[adapter] = scale * plain  # type: ignore[attr-defined]

    def scale_layer(self, scale: float) -> None:
        """Multiply the scaling of the active adapters."""
        for adapter in filter(self.has, self.active_adapters):
            self.scaling[adapter] *= scale  # type: ignore[attr-defined]

    def unscale_layer(self, scale: float | None = None) -> None:
        """Undo `scale_layer`; with None, go back to the config's scaling."""
        for adapter in filter(self.has, self.active_adapters):
            if scale is None:
                self.set_scale(adapter, 1.0)
            else:
                self.scaling[adapter] /= scale  # type: ignore[attr-defined]

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True
