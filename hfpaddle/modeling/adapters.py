"""Adapters on a model itself: what transformers' models offer besides peft's own classes.

Models know no method of adaptation. The surface above does; it is found by name when a user first
asks for an adapter.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

_SURFACE = "hfpaddle.peft.integration"
CONFIG_NAME = "adapter_config.json"


def integration() -> Any:
    """The module that puts adapters into models."""
    return importlib.import_module(_SURFACE)


def adapter_folder(name: Any) -> str | None:
    """Return ``name`` if it is a folder that holds an adapter, else None."""
    holds = name is not None and os.path.isfile(os.path.join(name, CONFIG_NAME))
    return os.fspath(name) if holds else None


def base_of(folder: str) -> str:
    """Where the base model of the adapter in ``folder`` is: the folder too, if it has a config."""
    if os.path.isfile(os.path.join(folder, "config.json")):
        return folder
    with open(os.path.join(folder, CONFIG_NAME), encoding="utf-8") as file:
        return json.load(file)["base_model_name_or_path"]


def load_with_adapter(load: Any, folder: str, **kwargs: Any) -> Any:
    """Load the base model by ``load(name, **kwargs)`` and the adapter in ``folder`` into it."""
    name = kwargs.pop("adapter_name", None)
    loaded = load(base_of(folder), **kwargs)
    model = loaded[0] if isinstance(loaded, tuple) else loaded
    model.load_adapter(folder, adapter_name=name)
    return loaded


class AdapterMixin:
    """Adapters in the model in place. Every method but the first two raises ValueError if no
    adapter is loaded."""

    _hf_peft_config_loaded = False
    peft_config: dict[str, Any]

    def load_adapter(
        self, peft_model_id: Any = None, adapter_name: str | None = None, **kwargs: Any
    ) -> Any:
        """Load an adapter from a folder or the Hub, or from ``peft_config`` and
        ``adapter_state_dict``, and make it active.

        Args:
            is_trainable: False freezes it and sets eval mode.
            adapter_kwargs: those of `hf_hub_download`.
        Returns: names that are missing and unexpected.
        """
        return integration().load_adapter(self, peft_model_id, adapter_name, **kwargs)

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Add a new adapter and make it active."""
        integration().add_adapter(self, adapter_config, adapter_name)

    def set_adapter(self, adapter_name: list[str] | str) -> None:
        """Make adapters active, and all others not."""
        integration().set_adapter(self, adapter_name)

    def disable_adapters(self) -> None:
        """Answer as without adapters."""
        integration().enable_adapters(self, False)

    def enable_adapters(self) -> None:
        """Let the active adapters count again."""
        integration().enable_adapters(self, True)

    def active_adapters(self) -> list[str]:
        """Names of the active adapters."""
        return integration().active_adapters(self)

    def get_adapter_state_dict(
        self, adapter_name: str | None = None, state_dict: dict | None = None
    ) -> dict[str, Any]:
        """Tensors of an adapter, of the active one by default."""
        return integration().get_adapter_state_dict(self, adapter_name, state_dict)

    def delete_adapter(self, adapter_names: list[str] | str) -> None:
        """Remove adapters."""
        integration().delete_adapter(self, adapter_names)
