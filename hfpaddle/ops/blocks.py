"""A stack of decoder blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import paddle

from hfpaddle.core.op import op


@op
def run_blocks(
    x: paddle.Tensor, blocks: Iterable[Any], state: Any, norm: Any = None
) -> paddle.Tensor:
    """Apply ``blocks`` one after another, and ``norm`` to the result.

    Args:
        x: residual stream ``[B, S, H]``, floating.
        blocks: each maps ``(x, state)`` to a new ``x``; one with a ``recipe`` (see
            `hfpaddle.layers.recipe`) may be run without being called.
        state: masks, rotary angles and cache of this forward pass.
        norm: a layer, or None.
    Returns: ``[B, S, H]``.
    """
    for block in blocks:
        x = block(x, state)
    return x if norm is None else norm(x)
