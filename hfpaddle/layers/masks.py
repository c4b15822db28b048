"""Which key each query may see, kept as a description until a kernel needs it dense.

Shape letters: B batch, S queries, T keys.
"""

from __future__ import annotations

import numpy as np
import paddle

from hfpaddle.layers.packing import Packing

HIDDEN = float("-inf")


class AttentionMask:
    """Causal, windowed, padded or packed visibility of keys.

    Args:
        queries: S; query ``i`` stands at position ``offset + i`` of the key sequence.
        keys: T; key ``j`` stands at position ``key_offset + j``.
        causal: a query sees keys at its own position and before.
        window: and no more than this many of them, its own included; both sides if not causal.
        padding: ``[B, >= key_offset + T]``, nonzero where a key is real, or None if all are.
        packing: where packed samples begin; a query sees keys of its own sample.
        bias: ``[B or 1, 1 or N, S, T]`` float32 given by the user; used as it is.
    Attributes:
        described: the arguments above say all, without a bias of the user's.
        key_bias: None, or ``[B or 1, N, keys]`` float32 added to the scores of each key. Packed:
            ``[1, N, M]`` with M the longest sample, by the key's position in its own.
    """

    def __init__(
        self,
        queries: int,
        keys: int,
        *,
        offset: int = 0,
        key_offset: int = 0,
        causal: bool = True,
        window: int | None = None,
        padding: paddle.Tensor | None = None,
        packing: Packing | None = None,
        bias: paddle.Tensor | None = None,
    ) -> None:
        self.queries, self.keys, self.offset, self.key_offset = queries, keys, offset, key_offset
        self.causal, self.window, self.packing = causal, window, packing
        self.key_bias: paddle.Tensor | None = None
        self._block: AttentionMask | None = None
        if padding is not None:
            padding = self._fit(padding != 0)
            padding = None if bool(padding.all()) else padding
        self.padding = padding
        self.blind = False
        self._bias = bias
        self._dense = bias is not None
        self.described = bias is None
        if bias is not None:
            self.blind = bool((bias.max(axis=-1) == HIDDEN).any())

    def _fit(self, padding_BT: paddle.Tensor) -> paddle.Tensor:
        """Cut the user's mask to the keys that the cache gives; keys not yet written are hidden."""
        end = self.key_offset + self.keys
        if padding_BT.shape[1] < end:
            missing = [padding_BT.shape[0], end - padding_BT.shape[1]]
            fill = paddle.zeros(missing, dtype="bool")
            padding_BT = paddle.concat([padding_BT, fill.to(padding_BT.place)], axis=1)
        return padding_BT[:, self.key_offset : end]

    @property
    def trivial(self) -> bool:
        """True if every query sees every key."""
        if self._bias is not None or self.padding is not None or self.packing is not None:
            return False
        first, last = self.offset, self.offset + self.queries - 1
        if self.causal and self.key_offset + self.keys - 1 > first:
            return False
        if self.window is None:
            return True
        return self.causal and last - self.key_offset < self.window

    def dense(self, place: paddle.base.core.Place | str) -> paddle.Tensor | None:
        """Return the float32 bias ``[B or 1, 1 or N, S, T]`` to add to scores, or None if trivial.

        Computed once and kept. Hidden keys get minus infinity; `blind` then tells whether some row
        sees nothing (left padding). Such rows give zeros, as torch's attention does.
        """
        if not self._dense:
            self._bias = None if self.trivial else self._build(place)
            if self.key_bias is not None and self.packing is None:
                by_key = self.key_bias.unsqueeze(2)
                self._bias = by_key if self._bias is None else self._bias + by_key
            self._dense = True
        return self._bias

    def _build(self, place: paddle.base.core.Place | str) -> paddle.Tensor:
        q = np.arange(self.offset, self.offset + self.queries)[:, None]
        k = np.arange(self.key_offset, self.key_offset + self.keys)[None, :]
        seen = np.ones((self.queries, self.keys), dtype=bool)
        if self.causal:
            seen &= k <= q
        if self.window is not None:
            seen &= (k > q - self.window) if self.causal else (np.abs(q - k) <= self.window)
        seen_BNST = paddle.to_tensor(seen[None, None], place=place)
        if self.padding is not None:
            seen_BNST = paddle.logical_and(seen_BNST, self.padding[:, None, None, :])
        if self.packing is not None:
            ids_BS = self.packing.segments
            same = paddle.to_tensor(ids_BS[:, None, :, None] == ids_BS[:, None, None, :])
            seen_BNST = paddle.logical_and(seen_BNST, same.to(place))
        if self.padding is not None or self.window is not None:
            self.blind = not bool(seen_BNST.any(axis=-1).all())
        if self.packing is None or self.key_bias is None:
            return bias_of(seen_BNST)
        positions = self.packing.position_ids(place).flatten()
        by_key = self.key_bias.index_select(positions, axis=2).squeeze(0)
        by_key = by_key.reshape([by_key.shape[0], self.packing.rows, 1, self.keys])
        return bias_of(seen_BNST) + by_key.transpose([1, 0, 2, 3])

    def block(self, place: paddle.base.core.Place | str) -> paddle.Tensor | None:
        """Return the bias ``[1, 1 or N, M, M]`` within the longest packed sample, or None.

        Shorter samples get its first rows and columns: what is seen depends on distance alone.
        """
        assert self.packing is not None
        if self._block is None:
            M = self.packing.longest
            self._block = AttentionMask(M, M, causal=self.causal, window=self.window)
            self._block.key_bias = self.key_bias
        return self._block.dense(place)


def bias_of(seen: paddle.Tensor) -> paddle.Tensor:
    """Turn booleans ("may see") into the float32 bias 0 or minus infinity."""
    zero = paddle.zeros([1], dtype="float32").to(seen.place)
    hidden = paddle.full([1], HIDDEN, dtype="float32").to(seen.place)
    return paddle.where(seen, zero, hidden)


def bias_from_user(mask: paddle.Tensor) -> paddle.Tensor:
    """Turn a user's 4-D mask into a float32 bias: booleans mean "may see"; floats are added."""
    return bias_of(mask) if mask.dtype == paddle.bool else mask.astype("float32")
