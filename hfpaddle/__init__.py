"""Hugging Face scripts on PaddlePaddle: ``from hfpaddle import AutoModelForCausalLM``.

Importing this package imports nothing else; names of the mirrored libraries load when first used.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    import importlib.util

    if name in ("install", "uninstall"):
        return getattr(importlib.import_module("hfpaddle.hook"), name)
    if name.islower() and importlib.util.find_spec(f"hfpaddle.{name}"):
        return importlib.import_module(f"hfpaddle.{name}")
    from hfpaddle.core.quiet import import_transformers

    import_transformers()
    from hfpaddle.transformers.mirror import resolve

    value = resolve(name, "hfpaddle")
    globals()[name] = value
    return value
