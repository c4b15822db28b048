"""A base model with adapters of several methods."""

from __future__ import annotations

import os
from typing import Any

from paddle import nn

from hfpaddle.peft.config import PeftConfig
from hfpaddle.peft.mapping import PEFT_TYPE_TO_MIXED_MODEL_MAPPING, config_class
from hfpaddle.peft.peft_model import PeftModel
from hfpaddle.peft.tuners.mixed import MixedModel


def _check_compatible(config: Any) -> None:
    if config.peft_type not in PEFT_TYPE_TO_MIXED_MODEL_MAPPING:
        known = [kind.value for kind in PEFT_TYPE_TO_MIXED_MODEL_MAPPING]
        raise ValueError(
            f"The provided `peft_type` '{config.peft_type.value}' is not compatible with the "
            f"`PeftMixedModel`. Compatible types are: {known}"
        )


class PeftMixedModel(PeftModel):
    """A base model whose adapters may be of different methods: ``get_peft_model(mixed=True)``.

    Adapters are loaded, switched, merged and removed; they are saved from a `PeftModel` of their
    own, as in the original.
    """

    def __init__(
        self,
        model: nn.Layer,
        peft_config: Any,
        adapter_name: str = "default",
        low_cpu_mem_usage: bool = False,
    ) -> None:
        nn.Layer.__init__(self)
        _check_compatible(peft_config)
        self.active_adapter = adapter_name
        self.peft_type = peft_config.peft_type
        self._is_prompt_learning, self._adapters_disabled = False, False
        self.base_model = MixedModel(model, {adapter_name: peft_config}, adapter_name)
        self.base_model._cast_adapter_dtype(adapter_name, True)
        if getattr(model, "is_gradient_checkpointing", False):
            model.enable_input_require_grads()  # type: ignore[attr-defined]

    def add_adapter(
        self,
        adapter_name: str,
        peft_config: Any,
        low_cpu_mem_usage: bool = False,
        autocast_adapter_dtype: bool = True,
    ) -> None:
        """Add an adapter of a compatible method; it is not active yet.

        Raises: ValueError for a name that is taken or a method that is not compatible.
        """
        if adapter_name in self.peft_config:
            raise ValueError(f"Adapter with name '{adapter_name}' already exists.")
        _check_compatible(peft_config)
        try:
            self.peft_config[adapter_name] = peft_config
            self.base_model.inject_adapter(self.base_model.model, adapter_name)
        except Exception:
            self.peft_config.pop(adapter_name, None)
            raise
        self.base_model._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Make one or several adapters the active ones."""
        names = [adapter_name] if isinstance(adapter_name, str) else list(adapter_name)
        unknown = sorted(set(names) - set(self.peft_config))
        if unknown:
            raise ValueError(
                f"Adapter(s) {unknown} not found, available adapters: {sorted(self.peft_config)}"
            )
        self.base_model.set_adapter(names, inference_mode=inference_mode)
        self.active_adapter = names

    def delete_adapter(self, adapter_name: str | list[str]) -> None:
        """Remove adapters."""
        self.base_model.delete_adapter(adapter_name)
        self.active_adapter = self.base_model.active_adapters

    def disable_adapter(self) -> Any:
        """Within it the model answers as without adapters."""
        return self.base_model._disabled()

    def load_adapter(self, model_id: Any, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        """Load an adapter; see `PeftModel.load_adapter`."""
        result = super().load_adapter(model_id, adapter_name, *args, **kwargs)
        self.set_adapter(self.active_adapters)
        return result

    def get_layer_status(self) -> Any:
        """Raises: TypeError, as the original."""
        raise TypeError("get_layer_status is not supported for PeftMixedModel.")

    def get_model_status(self) -> Any:
        """Raises: TypeError, as the original."""
        raise TypeError("get_model_status is not supported for PeftMixedModel.")

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Raises: NotImplementedError, as the original."""
        raise NotImplementedError("Saving is not supported for PeftMixedModel (yet).")

    def create_or_update_model_card(self, output_dir: str | os.PathLike) -> None:
        """Raises: NotImplementedError, as the original."""
        raise NotImplementedError("Model card creation is not supported for PeftMixedModel (yet).")

    @classmethod
    def from_pretrained(
        cls,
        model: nn.Layer,
        model_id: str | os.PathLike,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Put the adapter in a folder, the Hub cache or the Hub into ``model``."""
        if config is None:
            hub, _ = cls._split_kwargs(kwargs)
            own = config_class(PeftConfig._get_peft_type(model_id, **hub))
            config = own.from_pretrained(model_id, **kwargs)
        elif not isinstance(config, PeftConfig):
            raise ValueError(f"The input config must be a PeftConfig, got {type(config)}")
        config.inference_mode = not is_trainable
        made = cls(model, config, adapter_name)
        made.load_adapter(model_id, adapter_name, is_trainable=is_trainable, **kwargs)
        return made
