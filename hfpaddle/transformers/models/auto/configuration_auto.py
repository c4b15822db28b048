"""AutoConfig with typed errors, and with the families that transformers lacks."""

from __future__ import annotations

from typing import Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hfpaddle.modeling.configs import config_from_pretrained, own_config_class

__all__ = ["CONFIG_MAPPING", "AutoConfig"]


class AutoConfig(transformers.AutoConfig):
    """transformers' AutoConfig; see `hfpaddle.modeling.configs` for errors and own families."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        return config_from_pretrained(pretrained_model_name_or_path, **kwargs)

    @staticmethod
    def for_model(model_type: str, *args: Any, **kwargs: Any) -> Any:
        own = own_config_class(model_type)
        if own is not None:
            return own(*args, **kwargs)
        return transformers.AutoConfig.for_model(model_type, *args, **kwargs)
