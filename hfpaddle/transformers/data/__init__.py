"""Mirror of ``transformers.data``."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.transformers.mirror import resolve

    return resolve(name, __name__)
