"""``torch.save`` and ``torch.load``: torch's zip files, both ways."""

from __future__ import annotations

from typing import Any

from hfpaddle.core.errors import MissingFeatureError


def save(obj: Any, f: Any, **_: Any) -> None:
    """Not there yet."""
    raise MissingFeatureError("torch.save: not written yet. Use safetensors.")


def load(f: Any, **_: Any) -> Any:
    """Not there yet."""
    raise MissingFeatureError("torch.load: not written yet. Use safetensors.")
