"""``MODEL_FOR_CAUSAL_LM_MAPPING`` and the others: from config class to model class.

Scripts list their keys to tell which ``model_type`` they take. Unlike the original's they hold the
families that have a Paddle implementation, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import transformers

from hfpaddle.modeling import registry
from hfpaddle.modeling.configs import own_config_class


class AutoMapping(Mapping):
    """The classes that one auto class builds, by config class. Families load when asked for."""

    def __init__(self, auto_class: str) -> None:
        self.auto_class = auto_class

    def _classes(self) -> dict[type, type]:
        found: dict[type, type] = {}
        for name in registry.families():
            for model_type in _spellings(name):
                config = _config_class(model_type)
                model = registry.class_name(self.auto_class, model_type)
                module = registry.family_module(model_type)
                if config is not None and hasattr(module, model or ""):
                    found[config] = getattr(module, model)
        return found

    def __getitem__(self, config_class: type) -> type:
        return self._classes()[config_class]

    def __iter__(self) -> Iterator[type]:
        return iter(self._classes())

    def __len__(self) -> int:
        return len(self._classes())

    def __repr__(self) -> str:
        return f"<{self.auto_class}: {sorted(c.__name__ for c in self)}>"


def _spellings(family: str) -> list[str]:
    """The spellings of ``family``, a module's name, that configs use for their ``model_type``."""
    return list(dict.fromkeys((family, family.replace("_", "-"))))


def _config_class(model_type: str) -> Any:
    if model_type in transformers.CONFIG_MAPPING:
        return transformers.CONFIG_MAPPING[model_type]
    return own_config_class(model_type)


# Name in transformers -> mapping.
MAPPINGS = {
    table.removesuffix("_NAMES"): AutoMapping(auto) for auto, table in registry.AUTO_TABLES.items()
}


def __getattr__(name: str) -> AutoMapping:
    if name in MAPPINGS:
        return MAPPINGS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
