"""Mirror of ``transformers.integrations``: where training runs report."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.transformers.integrations import integration_utils

    if hasattr(integration_utils, name):
        return getattr(integration_utils, name)
    from hfpaddle.transformers.mirror import resolve_in

    return resolve_in("integrations", name)
