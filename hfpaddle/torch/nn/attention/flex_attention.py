"""``torch.nn.attention.flex_attention``: importable, not implemented."""

from __future__ import annotations

from typing import Any

from hfpaddle.core.errors import MissingFeatureError


def flex_attention(*args: Any, **kwargs: Any) -> Any:
    """Not carried over."""
    raise MissingFeatureError(
        "flex_attention has no implementation here. Use scaled_dot_product_attention with a mask."
    )


def create_block_mask(*args: Any, **kwargs: Any) -> Any:
    """Not carried over."""
    raise MissingFeatureError(
        "create_block_mask has no implementation here. Pass a bool mask to "
        "scaled_dot_product_attention."
    )


class BlockMask:
    """Only a name, for isinstance."""
