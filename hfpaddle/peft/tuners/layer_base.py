"""A module of the base model with the parameters of each adapter beside it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import (
    BufferDict,
    ParameterDict,
    compute_dtype,
    move_like,
    set_requires_grad,
    write,
)


class BaseTunerLayer(nn.Layer):
    """Base of every method's layers.

    Class attributes that a method sets:
        adapter_layer_names: attributes that hold what is trained, by adapter name.
        other_param_names: attributes that hold anything else by adapter name.
    """

    adapter_layer_names: tuple[str, ...] = ()
    other_param_names: tuple[str, ...] = ()
    quantization_backend: Any = None

    def __init__(self, base_layer: nn.Layer) -> None:
        super().__init__()
        self.base_layer = base_layer
        self._disable_adapters = False
        self._active_adapter: Any = "default"
        self.merged_adapters: list[str] = []
        self.frozen_peft_weight_names: dict[str, tuple[str, ...]] = {}
        self.cast_input_dtype_enabled = True
        # Adapter of each row of the batch, while a call with `adapter_names` runs.
        self.batch_adapters: list[str] | None = None
        self.in_features: Any
        self.out_features: Any
        self.in_features, self.out_features = layers.in_out_features(self.get_base_layer())

    def get_base_layer(self) -> Any:
        """The module of the base model, however often it is wrapped."""
        base: Any = self
        while isinstance(base, BaseTunerLayer):
            base = base.base_layer
        return base

    @property
    def weight(self) -> paddle.Tensor:
        """The base layer's weight: what code that looks at ``layer.weight`` expects."""
        return self.get_base_layer().weight

    @property
    def bias(self) -> paddle.Tensor | None:
        return getattr(self.get_base_layer(), "bias", None)

    def set_base_weight(self, values: paddle.Tensor) -> None:
        """Replace the base layer's weight; its dtype stays."""
        write(self.get_base_layer().weight, values)

    # Merging

    @property
    def merged(self) -> bool:
        return bool(self.merged_adapters)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put adapters into the base weights."""
        raise NotImplementedError

    def unmerge(self) -> None:
        """Take them out again."""
        raise NotImplementedError

    def checked_finite(self, values: paddle.Tensor, adapter: str) -> paddle.Tensor:
        """Return ``values``, or raise ValueError if any is not finite."""
        if not bool(paddle.isfinite(values.astype("float32")).all()):
            raise ValueError(
                f"NaNs detected in the merged weights. The adapter {adapter} seems to be broken"
            )
        return values

    # Activation

    @property
    def disable_adapters(self) -> bool:
        return self._disable_adapters

    @property
    def active_adapter(self) -> Any:
        return self._active_adapter

    @property
    def active_adapters(self) -> list[str]:
        active = self._active_adapter
        return [active] if isinstance(active, str) else active

    def _holders(self) -> list[Any]:
        return [getattr(self, name) for name in self.adapter_layer_names]

    def _get_available_adapters(self) -> set[str]:
        holders = (h for h in self._holders() if isinstance(h, (nn.LayerDict, ParameterDict)))
        return {name for holder in holders for name in holder.keys()}

    def enable_adapters(self, enabled: bool) -> None:
        """Let adapters count, or freeze them and answer as the base layer does."""
        if enabled:
            self.set_adapter(self.active_adapters)
        else:
            for holder in self._holders():
                for item in holder.values():
                    set_requires_grad(item, False)
        self._disable_adapters = not enabled

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Make these adapters active and trainable (not with ``inference_mode``), freeze others."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        for holder in self._holders():
            for key, item in holder.items():
                set_requires_grad(item, key in names and not inference_mode)
        self._freeze_non_trainable_peft_weights(names)
        self._active_adapter = names

    def set_requires_grad(
        self, adapter_names: str | Sequence[str], requires_grad: bool = True
    ) -> None:
        names = {adapter_names} if isinstance(adapter_names, str) else set(adapter_names)
        for holder in self._holders():
            for key, item in holder.items():
                if key in names:
                    set_requires_grad(item, requires_grad)
        if requires_grad:
            self._freeze_non_trainable_peft_weights(list(names))

    def _freeze_non_trainable_peft_weights(self, names: Sequence[str] | None = None) -> None:
        """Keep frozen what a method never trains (`frozen_peft_weight_names`)."""
        for name in self.frozen_peft_weight_names if names is None else names:
            for attribute in self.frozen_peft_weight_names.get(name, ()):
                holder = getattr(self, attribute)
                if name in holder:
                    set_requires_grad(holder[name], False)

    def _all_available_adapter_names(self) -> list[str]:
        found = set()
        for attribute in self.adapter_layer_names + self.other_param_names:
            value = getattr(self, attribute)
            found |= set(value.keys()) if hasattr(value, "keys") else set()
        return sorted(found)

    def delete_adapter(self, adapter_name: str) -> None:
        """Forget an adapter; if it was active, another becomes so."""
        for attribute in self.adapter_layer_names + self.other_param_names:
            value = getattr(self, attribute)
            if adapter_name in value:
                del value[adapter_name]
        self.frozen_peft_weight_names.pop(adapter_name, None)
        if adapter_name not in self.active_adapters:
            return
        left = [name for name in self.active_adapters if name != adapter_name]
        others = self._all_available_adapter_names()
        if not left and others:
            warnings.warn(
                f"Adapter {adapter_name} was active which is now deleted. Setting active adapter "
                f"to {others[0]}.",
                stacklevel=4,
            )
            left = others[:1]
        self.set_adapter(left)

    # Devices and dtypes

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: Any = None) -> None:
        """Give the adapter the base layer's device and, if it floats, its dtype."""
        weight = getattr(self.get_base_layer(), "weight", None)
        if weight is None:
            return
        for attribute in self.adapter_layer_names + self.other_param_names:
            holder = getattr(self, attribute, None)
            if isinstance(holder, (nn.LayerDict, ParameterDict, BufferDict)):
                if adapter_name in holder:
                    move_like(holder[adapter_name], weight)

    def _cast_input_dtype(self, x: Any, like: paddle.Tensor) -> Any:
        """``x`` in the dtype in which the device computes with ``like``."""
        if x is None or not self.cast_input_dtype_enabled:
            return x
        dtype = compute_dtype(like)
        return x if x.dtype == dtype else x.astype(dtype)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return False


def check_adapters_to_merge(
    module: BaseTunerLayer, adapter_names: list[str] | None = None
) -> list[str]:
    """Which of ``adapter_names`` (the active ones by default) are not merged yet."""
    names = module.active_adapters if adapter_names is None else adapter_names
    if isinstance(names, str):
        raise TypeError(f"adapter_names should be a list of strings, got {names!r}.")
    if not module.merged:
        return list(names)
    new = [name for name in names if name not in module.merged_adapters]
    done = ",".join(module.merged_adapters)
    warnings.warn(
        f"Already following adapters were merged {done}. You are now additionally merging "
        f"{','.join(new)}."
        if new
        else "All adapters are already merged, nothing to do.",
        stacklevel=4,
    )
    return new
