"""Adapters of several methods in one model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from paddle import nn

from hfpaddle.peft.mapping import PEFT_TYPE_TO_MIXED_MODEL_MAPPING
from hfpaddle.peft.tuners.tuners_utils import (
    BaseTuner,
    BaseTunerLayer,
    _check_adapters_not_merged,
    _delete_auxiliary_adapter,
)
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING


def __getattr__(name: str) -> Any:
    if name == "COMPATIBLE_TUNER_TYPES":  # known once all methods have registered
        return tuple(PEFT_TYPE_TO_MIXED_MODEL_MAPPING)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class MixedModel(BaseTuner):
    """A model with adapters of any of the compatible methods; they may wrap each other."""

    prefix = ""
    tuner_layer_cls = BaseTunerLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def _acting(self, config: Any) -> Any:
        """This model as the tuner of one method: that class's methods on the same state."""
        cls = PEFT_TYPE_TO_MIXED_MODEL_MAPPING[config.peft_type]
        tuner = cls.__new__(cls)
        object.__setattr__(tuner, "__dict__", self.__dict__)
        return tuner

    def _check_new_adapter_config(self, config: Any) -> None:
        super()._check_new_adapter_config(config)
        if hasattr(config, "refuse_unsupported"):
            config.refuse_unsupported()

    def _prepare_model(self, peft_config: Any, model: nn.Layer) -> None:
        self._acting(peft_config)._prepare_model(peft_config, model)

    def _create_and_replace(self, peft_config: Any, *args: Any, **kwargs: Any) -> None:
        self._acting(peft_config)._create_and_replace(peft_config, *args, **kwargs)

    def _unload_and_optionally_merge(
        self, merge: bool = True, progressbar: bool = False, safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Layer:  # fmt: skip
        if merge:  # the layers that others wrap; the outermost come last, as in the original
            for layer in self.model.sublayers(include_self=True):
                inner = getattr(layer, "base_layer", None)
                if isinstance(inner, BaseTunerLayer):
                    inner.merge(safe_merge=safe_merge, adapter_names=adapter_names)
        return super()._unload_and_optionally_merge(merge, progressbar, safe_merge, adapter_names)

    @contextlib.contextmanager
    def _disabled(self) -> Iterator[None]:
        try:
            self.disable_adapter_layers()
            yield
        finally:
            self.enable_adapter_layers()

    def add_weighted_adapter(self, *args: Any, **kwargs: Any) -> None:
        """Raises: NotImplementedError, as the original."""
        raise NotImplementedError("Weighted adapters are not supported for MixedModel (yet).")

    def delete_adapter(self, adapter_name: str | list[str]) -> None:
        """Remove adapters. Raises: ValueError for one that is not there, or is merged."""
        names = [adapter_name] if isinstance(adapter_name, str) else list(adapter_name)
        unknown = sorted(set(names) - set(self.peft_config))
        if unknown:
            raise ValueError(
                f"Adapter(s) {unknown} not found, available adapters: {sorted(self.peft_config)}"
            )
        left: set[str] = set()
        for name in names:
            _check_adapters_not_merged(self.model, name)
        for name in names:
            del self.peft_config[name]
            left = set()
            for layer in self.model.sublayers(include_self=True):
                if isinstance(layer, BaseTunerLayer):
                    layer.delete_adapter(name)
                    left |= set(layer.active_adapters)  # a layer knows its own adapters only
            _delete_auxiliary_adapter(self.model, name, sorted(left))
        self.active_adapter = sorted(left)
