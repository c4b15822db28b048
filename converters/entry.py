"""What a checkpoint reader hands to the loader: one entry a tensor, read only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paddle

if TYPE_CHECKING:
    from hfpaddle.converters.gguf_quants import Block


@dataclass(frozen=True)
class TensorEntry:
    """A tensor that is known to lie whole inside its file, and not yet read.

    Attributes:
        name: as the file has it.
        shape: as the file has it, ``[out, in]`` for linear weights.
        dtype: Paddle's name for it: ``"float32"``, ``"bfloat16"``, ``"int64"``, ``"bool"`` ...
        load: gives the tensor on the CPU; memory-mapped and copy-on-write where the format allows,
            so that writing to it never reaches the file.
        source: file name for messages.
        block: GGUF's format of a quantised tensor, which ``load`` unpacks to float32; else None.
        blocks: gives the bytes of such a tensor, ``[rows, bytes of a row]`` uint8, memory-mapped
            where the Hub's rows come in the file's order; None if columns or values differ.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], paddle.Tensor]
    source: str
    block: Block | None = None
    blocks: Callable[[], paddle.Tensor] | None = None
