"""Mirror of ``transformers.models.auto.modeling_auto``: the auto classes and the name tables."""

from typing import Any

from hfpaddle.modeling.auto import *  # noqa: F403
from hfpaddle.modeling.auto_mapping import MAPPINGS
from hfpaddle.modeling.registry import tables


def __getattr__(name: str) -> Any:
    if name.endswith("_MAPPING_NAMES"):
        return getattr(tables, name)
    if name in MAPPINGS:
        return MAPPINGS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
