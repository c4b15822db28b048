"""Mirror of ``transformers.integrations``: where training runs report."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    # Not "from ... import": that would ask this function for the module.
    integration_utils = importlib.import_module(f"{__name__}.integration_utils")
    if name == "integration_utils":
        return integration_utils
    if hasattr(integration_utils, name):
        return getattr(integration_utils, name)
    from hfpaddle.transformers.mirror import resolve_in

    return resolve_in("integrations", name)
