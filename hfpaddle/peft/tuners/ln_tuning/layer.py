"""A norm and a copy of it for each adapter."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from paddle import nn

from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.utils.arrays import set_requires_grad


class LNTuningLayer(BaseTunerLayer):
    """Calls the active adapter's copy. Merging swaps the copy and the original."""

    adapter_layer_names = ("ln_tuning_layers",)

    def __init__(self, base_layer: nn.Layer, adapter_name: str, config: Any) -> None:
        super().__init__(base_layer)
        self.ln_tuning_layers = nn.LayerDict()
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Add an adapter, and make it the active one."""
        base = self.get_base_layer()
        self.ln_tuning_layers[adapter_name] = copy.deepcopy(base)
        self.set_adapter(adapter_name, inference_mode=config.inference_mode)

    def enable_adapters(self, enabled: bool) -> None:
        if enabled:
            self.set_adapter(self.active_adapters)
        else:
            if self.merged:
                self.unmerge()
            set_requires_grad(self.ln_tuning_layers, False)
        self._disable_adapters = not enabled

    def _swap(self, adapter: str) -> None:
        mine, other = self.base_layer, self.ln_tuning_layers[adapter]
        self.base_layer = other
        self.ln_tuning_layers[adapter] = mine

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put one adapter's norm in the place of the original.

        Raises: ValueError for several adapters.
        """
        names = check_adapters_to_merge(self, adapter_names)
        if not names:
            return
        if len(names) > 1:
            raise ValueError(
                f"Trying to merge {len(names)} adapters, but LN tuning does not allow merging more "
                "than one adapter at a time"
            )
        if self.merged:
            warnings.warn(
                f"Already merged with {set(self.merged_adapters)}. Unmerging first.", stacklevel=2
            )
            self.unmerge()
        if names[0] in self.ln_tuning_layers:
            self._swap(names[0])
            self.merged_adapters.append(names[0])

    def unmerge(self) -> None:
        """Put the original back."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        self._swap(self.merged_adapters.pop())

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        if self.disable_adapters and self.merged:
            self.unmerge()
        active = self.active_adapters
        if self.disable_adapters or self.merged or not active:
            return self.base_layer(x, *args, **kwargs)
        if len(active) != 1:
            raise ValueError(
                f"Trying to run forward with {len(active)} active adapters, but LN tuning does not "
                "allow inference with more than one adapter at a time"
            )
        if active[0] not in self.ln_tuning_layers:
            return self.base_layer(x, *args, **kwargs)
        return self.ln_tuning_layers[active[0]](x, *args, **kwargs)

    def __repr__(self) -> str:
        return "ln_tuning." + super().__repr__()
