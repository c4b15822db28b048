"""Samples that stand behind one another in a row, without padding: where each begins and ends.

Shape letters: B rows, S tokens of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import paddle


class Packing:
    """The lengths of a batch's samples, kept on the host.

    Args:
        lengths: of each sample, in tokens, row after row; no sample crosses rows.
        rows: B.
    """

    def __init__(self, lengths: Sequence[int], rows: int = 1) -> None:
        self.lengths, self.rows = tuple(int(n) for n in lengths), rows

    @classmethod
    def of(cls, starts_BS: np.ndarray) -> Packing | None:
        """Read ``[B, S]`` booleans, true where a sample begins; None if each row is one sample."""
        B, S = starts_BS.shape
        starts_BS = starts_BS.copy()
        starts_BS[:, 0] = True
        if int(starts_BS.sum()) == B:
            return None
        bounds = np.append(np.flatnonzero(starts_BS), B * S)
        return cls(np.diff(bounds).tolist(), B)

    @property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def segments(self) -> np.ndarray:
        """Number of each token's sample, int64 ``[B, S]``."""
        numbers = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return numbers.reshape(self.rows, -1)

    @cached_property
    def positions(self) -> np.ndarray:
        """Position of each token within its sample, int64 ``[B, S]``."""
        counted = [np.arange(n) for n in self.lengths]
        return np.concatenate(counted).reshape(self.rows, -1)

    def position_ids(self, place: paddle.base.core.Place | str) -> paddle.Tensor:
        """Return `positions` as a tensor on ``place``."""
        return paddle.to_tensor(self.positions, dtype="int64", place=place)
