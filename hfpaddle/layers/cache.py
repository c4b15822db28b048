"""Keys and values of the tokens already seen, one entry a layer.

Same classes, methods and results as the original library's cache, for attention layers.

Shape letters: B batch, K key/value heads, S new tokens, T tokens held, D head size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError, UnsupportedConfigError, nearest


def _query_length(query: int | paddle.Tensor) -> int:
    """Accept a number of queries, or their positions as models written for 4.x pass them."""
    return query if isinstance(query, int) else query.shape[0]


class CacheLayerMixin:
    """What one attention layer keeps. ``keys`` and ``values`` are ``[B, K, T, D]`` or None."""

    is_compileable = False
    is_croppable = False
    is_sliding = False

    def __init__(self, **kwargs: Any) -> None:
        self.keys: Any = None  # tensors once there is something to keep
        self.values: Any = None
        self.is_initialized = False

    def __repr__(self) -> str:
        return type(self).__name__

    def lazy_initialization(self, key_states: paddle.Tensor, value_states: paddle.Tensor) -> None:
        """Take dtype, device and sizes from the first tensors that arrive."""
        raise NotImplementedError

    def update(
        self, key_states: paddle.Tensor, value_states: paddle.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Add ``[B, K, S, D]`` and return the keys and values that the new queries attend to."""
        raise NotImplementedError

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys the next `update` gives and the position of the first."""
        raise NotImplementedError

    def get_seq_length(self) -> int:
        """Return the number of tokens seen, those dropped by a window included."""
        raise NotImplementedError

    def get_max_length(self) -> int:
        """Return the number of tokens that can be held, -1 if unbounded."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all tokens."""
        raise NotImplementedError

    def _select(self, rows: paddle.Tensor) -> None:
        if self.keys is not None and self.values is not None and self.get_seq_length() > 0:
            rows = rows.to(self.keys.place)
            self.keys = paddle.index_select(self.keys, rows, axis=0)
            self.values = paddle.index_select(self.values, rows, axis=0)

    def reorder_cache(self, beam_idx: paddle.Tensor) -> None:
        """Let row ``i`` continue what row ``beam_idx[i]`` held."""
        self._select(beam_idx)

    # For kernels that append in place: `open` or `reserve`, then `appended`

    def can_reserve(self, rows: int, tokens: int) -> bool:
        """Whether a kernel may write ``tokens`` more of ``rows`` sequences behind those held."""
        return False

    def open(self, rows: int, heads: int, size: int, tokens: int, like: paddle.Tensor) -> Room:
        """Return room for the first ``tokens``: ``rows`` of ``heads`` of ``size``."""
        raise NotImplementedError

    def reserve(self, tokens: int) -> Room:
        """Return room for ``tokens`` more."""
        raise NotImplementedError

    def appended(self, tokens: int) -> None:
        """Count tokens that were written into the room behind those held."""
        raise NotImplementedError


class Room:
    """Keys and values ``[B, K, capacity, D]`` of which the first ``length`` tokens are held.

    A kernel that appends in place writes behind them; nothing is copied for a new token.
    """

    SPARE = 128  # tokens; room grows by a quarter, or by so many

    def __init__(self, keys: paddle.Tensor, values: paddle.Tensor, length: int) -> None:
        self.keys, self.values, self.length = keys, values, length
        self.rows, _, self.capacity, _ = keys.shape
        self.addresses = keys.data_ptr(), values.data_ptr()

    @classmethod
    def behind(cls, keys: paddle.Tensor, values: paddle.Tensor, more: int) -> Room:
        """Return copies of ``keys`` and ``values`` with room for ``more`` tokens and some."""
        length = keys.shape[-2]
        spare = more + max(cls.SPARE, length // 4)
        return cls(cls._with_space(keys, spare), cls._with_space(values, spare), length)

    @classmethod
    def empty(cls, rows: int, heads: int, size: int, tokens: int, like: paddle.Tensor) -> Room:
        """Return room for ``tokens`` and some more, with the dtype and device of ``like``."""
        shape = [rows, heads, tokens + max(cls.SPARE, tokens // 4), size]
        keys, values = (paddle.zeros(shape, dtype=like.dtype).to(like.place) for _ in range(2))
        return cls(keys, values, 0)

    @staticmethod
    def _with_space(held: paddle.Tensor, spare: int) -> paddle.Tensor:
        B, K, _, D = held.shape
        space = paddle.zeros([B, K, spare, D], dtype=held.dtype)
        return paddle.concat([held, space.to(held.place)], axis=2)


class DynamicLayer(CacheLayerMixin):
    """Grows with the sequence.

    ``keys`` and ``values`` are cut out of a kernel's room when somebody asks.
    """

    is_croppable = True

    @property
    def keys(self) -> Any:
        return self._keys if self._room is None else self._cut(self._room.keys)

    @keys.setter
    def keys(self, keys: Any) -> None:
        self._keep_values()
        self._keys = keys

    @property
    def values(self) -> Any:
        return self._values if self._room is None else self._cut(self._room.values)

    @values.setter
    def values(self, values: Any) -> None:
        self._keep_values()
        self._values = values

    _keys: Any = None
    _values: Any = None
    _room: Room | None = None

    def _keep_values(self) -> None:
        if self._room is not None:
            self._keys, self._values = self.keys, self.values
            self._room = None

    def _cut(self, tensor: paddle.Tensor) -> paddle.Tensor:
        """Return what is held of a room's buffer."""
        assert self._room is not None
        return tensor[:, :, : self._room.length]

    def can_reserve(self, rows: int, tokens: int) -> bool:
        if self._room is not None:
            return self._room.rows == rows
        return self._keys is None or self._keys.shape[0] == rows

    def reserve(self, tokens: int) -> Room:
        room = self._room
        if room is None or room.length + tokens > room.capacity:
            room = Room.behind(self.keys, self.values, tokens)
            self._keys = self._values = None
            self._room = room
        return room

    def open(self, rows: int, heads: int, size: int, tokens: int, like: paddle.Tensor) -> Room:
        self.lazy_initialization(like, like)
        self._keys = self._values = None
        self._room = Room.empty(rows, heads, size, tokens, like)
        return self._room

    def appended(self, tokens: int) -> None:
        assert self._room is not None
        self._room.length += tokens

    def lazy_initialization(self, key_states: paddle.Tensor, value_states: paddle.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.place
        self.is_initialized = True

    def _joined(
        self, key_states: paddle.Tensor, value_states: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.keys is None or self.keys.shape[-2] == 0:
            return key_states, value_states
        keys = paddle.concat([self.keys, key_states], axis=-2)
        return keys, paddle.concat([self.values, value_states], axis=-2)

    def update(
        self, key_states: paddle.Tensor, value_states: paddle.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        self.keys, self.values = self._joined(key_states, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        if self._room is not None:
            return self._room.length
        return 0 if self.keys is None else self.keys.shape[-2]

    def get_max_length(self) -> int:
        return -1

    def reset(self) -> None:
        self.keys = self.values = None
        self.is_initialized = False

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the newest ``-tokens_to_remove`` tokens. Raises ValueError if positive."""
        if tokens_to_remove > 0:
            raise ValueError(
                f"crop: {tokens_to_remove} is positive. Give the number of tokens to remove as a "
                f"negative integer."
            )
        if tokens_to_remove < 0 and self.keys is not None:
            self.keys = self.keys[:, :, :tokens_to_remove]
            self.values = self.values[:, :, :tokens_to_remove]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row ``repeats`` times, copies side by side."""
        if self.get_seq_length() > 0:
            self.keys = paddle.repeat_interleave(self.keys, repeats, axis=0)
            self.values = paddle.repeat_interleave(self.values, repeats, axis=0)

    def batch_select_indices(self, indices: paddle.Tensor) -> None:
        """Keep the rows that ``indices`` names (integers, or one boolean a row)."""
        if indices.dtype == paddle.bool:
            indices = paddle.nonzero(indices).flatten()
        self._select(indices)


class DynamicSlidingWindowLayer(DynamicLayer):
    """Keeps the last ``sliding_window - 1`` tokens: with the query itself they fill the window."""

    is_sliding = True

    def __init__(self, sliding_window: int, **kwargs: Any) -> None:
        super().__init__()
        self.sliding_window = sliding_window
        self.cumulative_length = 0
        self.record_past = False

    def _cut(self, tensor: paddle.Tensor) -> paddle.Tensor:
        assert self._room is not None
        end = self._room.length
        start = 0 if self.sliding_window == 1 else max(end - self.sliding_window + 1, 0)
        return tensor[:, :, start:end]

    def can_reserve(self, rows: int, tokens: int) -> bool:
        return not self.record_past and super().can_reserve(rows, tokens)

    def appended(self, tokens: int) -> None:
        super().appended(tokens)
        self.cumulative_length = self.cumulative_length + tokens

    @property
    def _sliding_window_tensor(self) -> paddle.Tensor:
        return paddle.to_tensor(self.sliding_window, dtype="int64")

    def activate_past_recording(self) -> None:
        """Keep what leaves the window until the next `crop`, so that tokens can be taken back."""
        self.record_past = True

    def update(
        self, key_states: paddle.Tensor, value_states: paddle.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        keys, values = self._joined(key_states, value_states)
        self.cumulative_length = self.cumulative_length + key_states.shape[-2]
        if self.record_past:
            self.keys, self.values = keys, values
            visible = min(self.sliding_window - 1 + key_states.shape[-2], keys.shape[-2])
            start = keys.shape[-2] - visible
            return keys[:, :, start:], values[:, :, start:]
        self._keep_window(keys, values)
        return keys, values

    def _keep_window(self, keys: paddle.Tensor, values: paddle.Tensor) -> None:
        # A slice that starts at -0 would keep everything where a window of 1 keeps nothing of use;
        # the original does so too, so lengths stay equal.
        start = 0 if self.sliding_window == 1 else max(keys.shape[-2] - self.sliding_window + 1, 0)
        self.keys, self.values = keys[:, :, start:], values[:, :, start:]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        offset = max(self.cumulative_length - self.sliding_window + 1, 0)
        if self.cumulative_length >= self.sliding_window:
            return self.sliding_window - 1 + query_length, offset
        return self.cumulative_length + query_length, offset

    def get_seq_length(self) -> int:
        return self.cumulative_length

    def get_max_length(self) -> int:
        return self.sliding_window

    def reset(self) -> None:
        super().reset()
        self.cumulative_length = 0

    def crop(self, tokens_to_remove: int) -> None:
        if self.cumulative_length < self.sliding_window:
            super().crop(tokens_to_remove)
            self.cumulative_length = 0 if self.keys is None else self.keys.shape[-2]
            return
        if not self.record_past:
            raise RuntimeError(
                f"crop: the window of {self.sliding_window} tokens is full and tokens that left it "
                f"were not kept. Call `activate_past_recording` before generating."
            )
        if tokens_to_remove > 0:
            raise RuntimeError(
                f"crop: {tokens_to_remove} is positive. A full sliding window takes the number of "
                f"tokens to remove as a negative integer."
            )
        end = self.keys.shape[-2] + tokens_to_remove
        self._keep_window(self.keys[:, :, :end], self.values[:, :, :end])
        self.cumulative_length = self.cumulative_length + tokens_to_remove


class StaticLayer(CacheLayerMixin):
    """One allocation of ``max_cache_len`` tokens, filled from the left; unused keys are zero."""

    is_compileable = True

    def __init__(self, max_cache_len: int, **kwargs: Any) -> None:
        super().__init__()
        self.max_cache_len = max_cache_len
        self.cumulative_length = 0

    def lazy_initialization(self, key_states: paddle.Tensor, value_states: paddle.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.place
        self.batch_size, self.num_heads = key_states.shape[:2]
        self.k_head_dim, self.v_head_dim = key_states.shape[-1], value_states.shape[-1]
        shape = [self.batch_size, self.num_heads, self.max_cache_len]
        self.keys = paddle.zeros([*shape, self.k_head_dim], dtype=self.dtype).to(self.device)
        self.values = paddle.zeros([*shape, self.v_head_dim], dtype=self.dtype).to(self.device)
        self.is_initialized = True

    def _write(self, start: int, keys: paddle.Tensor, values: paddle.Tensor) -> None:
        end = start + keys.shape[-2]
        if end > self.max_cache_len:
            raise IndexError(
                f"{type(self).__name__}: {end} tokens do not fit; max_cache_len is "
                f"{self.max_cache_len}. Build the cache with a larger max_cache_len."
            )
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values

    def update(
        self, key_states: paddle.Tensor, value_states: paddle.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._write(self.cumulative_length, key_states, value_states)
        self.cumulative_length = self.cumulative_length + key_states.shape[-2]
        return self.keys, self.values

    def can_reserve(self, rows: int, tokens: int) -> bool:
        if self.cumulative_length + tokens > self.max_cache_len:
            return False
        if not self.is_initialized:
            return True
        whole = self.keys.is_contiguous() and self.values.is_contiguous()
        return whole and self.keys.shape[0] == rows

    def open(self, rows: int, heads: int, size: int, tokens: int, like: paddle.Tensor) -> Room:
        if not self.is_initialized:
            shape = paddle.empty([rows, heads, 0, size], dtype=like.dtype).to(like.place)
            self.lazy_initialization(shape, shape)
        return self.reserve(tokens)

    def reserve(self, tokens: int) -> Room:
        return Room(self.keys, self.values, self.cumulative_length)

    def appended(self, tokens: int) -> None:
        self.cumulative_length = self.cumulative_length + tokens

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.max_cache_len, 0

    def get_seq_length(self) -> int:
        return self.cumulative_length

    def get_max_length(self) -> int:
        return self.max_cache_len

    def reset(self) -> None:
        if self.is_initialized:
            self.keys, self.values = paddle.zeros_like(self.keys), paddle.zeros_like(self.values)
        self.cumulative_length = 0


class StaticSlidingWindowLayer(StaticLayer):
    """A `StaticLayer` of one window, whose oldest token leaves when a new one arrives."""

    is_sliding = True

    def __init__(self, max_cache_len: int, sliding_window: int, **kwargs: Any) -> None:
        super().__init__(max_cache_len=min(sliding_window, max_cache_len))

    def update(
        self, key_states: paddle.Tensor, value_states: paddle.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        seen, new = self.cumulative_length, key_states.shape[-2]
        self.cumulative_length = seen + new
        if seen + new <= self.max_cache_len:
            self._write(seen, key_states, value_states)
            return self.keys, self.values
        # A full window gives up its oldest token first; the queries see the rest and themselves.
        first, end = int(seen >= self.max_cache_len), min(seen, self.max_cache_len)
        keys, values = key_states, value_states
        if first < end:
            keys = paddle.concat([self.keys[:, :, first:end], keys], axis=-2)
            values = paddle.concat([self.values[:, :, first:end], values], axis=-2)
        start = keys.shape[-2] - self.max_cache_len
        self.keys, self.values = keys[:, :, start:], values[:, :, start:]
        return keys, values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        seen, window = self.cumulative_length, self.max_cache_len
        offset = max(seen - window + 1, 0)
        if seen >= window:
            return window + query_length - 1, offset
        return max(seen + query_length, window), offset


_DYNAMIC = {
    "full_attention": DynamicLayer,
    "sliding_attention": DynamicSlidingWindowLayer,
    "chunked_attention": DynamicSlidingWindowLayer,
}
_STATIC = {
    "full_attention": StaticLayer,
    "sliding_attention": StaticSlidingWindowLayer,
    "chunked_attention": StaticSlidingWindowLayer,
}
_WINDOW_KEY = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}


def _layer_plan(config: Any) -> list[tuple[str, dict[str, int]]]:
    """Return each decoder layer's kind and the arguments of its cache, read from the config."""
    config = config.get_text_config(decoder=True)
    per_layer = getattr(config, "per_layer_config", None) or [config] * config.num_hidden_layers
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        kinds = []
        for layer in per_layer:
            windowed = (k for k, v in _WINDOW_KEY.items() if getattr(layer, v, None) is not None)
            kinds.append(next(windowed, "full_attention"))
    plan = []
    for kind, layer in zip(kinds, per_layer, strict=False):
        if kind not in _DYNAMIC:
            raise UnsupportedConfigError(
                f"layer_types holds {kind!r}, for which hfpaddle has no cache"
                f"{nearest(kind, _DYNAMIC)}. Known: {', '.join(_DYNAMIC)}."
            )
        window = _WINDOW_KEY.get(kind)
        plan.append((kind, {"sliding_window": getattr(layer, window)} if window else {}))
    return plan


def _refuse_offloading(offloading: bool) -> None:
    if offloading:
        raise UnsupportedArgumentError(
            "offloading=True is not implemented: a cache stays on the device of its keys. "
            "Leave offloading=False."
        )


class Cache:
    """The layers of one model. ``layer_class_to_replicate`` makes them as they are first used."""

    def __init__(
        self,
        layers: list[CacheLayerMixin] | None = None,
        layer_class_to_replicate: type[CacheLayerMixin] | None = None,
        offloading: bool = False,
        offload_only_non_sliding: bool = True,
    ) -> None:
        if (layers is None) == (layer_class_to_replicate is None):
            raise ValueError("Cache takes exactly one of `layers` and `layer_class_to_replicate`.")
        _refuse_offloading(offloading)
        self.layers: list[Any] = layers if layers is not None else []
        self.layer_class_to_replicate = layer_class_to_replicate
        self.offloading = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layers={self.layers})"

    def __len__(self) -> int:
        return len(self.layers)

    def update(
        self,
        key_states: paddle.Tensor,
        value_states: paddle.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Add ``[B, K, S, D]`` to a layer and return all keys and values its queries attend to."""
        if self.layer_class_to_replicate is not None:
            while len(self.layers) <= layer_idx:
                self.layers.append(self.layer_class_to_replicate())
        return self.layers[layer_idx].update(key_states, value_states, *args, **kwargs)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many tokens the layer has seen."""
        return self.layers[layer_idx].get_seq_length() if layer_idx < len(self.layers) else 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return the position of the next token."""
        return self.get_seq_length(layer_idx)

    def get_mask_sizes(self, query_length: int | paddle.Tensor, layer_idx: int) -> tuple[int, int]:
        """Return the number of keys that the next `update` gives and the first one's position."""
        query_length = _query_length(query_length)
        if layer_idx >= len(self.layers):
            return query_length, 0
        return self.layers[layer_idx].get_mask_sizes(query_length)

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """Return how many tokens the layer (or the largest layer) can hold, -1 if unbounded."""
        if layer_idx is None:
            return max((layer.get_max_length() for layer in self.layers), default=-1)
        return self.layers[layer_idx].get_max_length() if layer_idx < len(self.layers) else -1

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        """The older name of `get_max_length`, for one layer."""
        return self.get_max_length(layer_idx)

    def reset(self) -> None:
        """Forget all tokens."""
        for layer in self.layers:
            layer.reset()

    def reorder_cache(self, beam_idx: paddle.Tensor) -> None:
        """Let row ``i`` of every layer continue what row ``beam_idx[i]`` held."""
        for layer in self.layers:
            layer.reorder_cache(beam_idx)

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the newest ``-tokens_to_remove`` tokens (a negative integer, or 0)."""
        for layer in self.layers:
            layer.crop(tokens_to_remove)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row ``repeats`` times, copies side by side."""
        for layer in self.layers:
            layer.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: paddle.Tensor) -> None:
        """Keep the rows that ``indices`` names."""
        for layer in self.layers:
            layer.batch_select_indices(indices)

    def activate_past_recording(self) -> None:
        """Make sliding layers able to take tokens back; see `DynamicSlidingWindowLayer`."""
        for layer in self.layers:
            if hasattr(layer, "activate_past_recording"):
                layer.activate_past_recording()

    def is_recording_past(self, layer_idx: int) -> bool:
        """True if the layer keeps tokens that left its window."""
        return getattr(self.layers[layer_idx], "record_past", False)

    @property
    def batch_size(self) -> int:
        """B of static layers, -1 if there are none. Raises ValueError if layers differ."""
        sizes = {layer.batch_size for layer in self.layers if hasattr(layer, "batch_size")}
        if len(sizes) > 1:
            raise ValueError(f"batch_size: layers hold different batch sizes, {sorted(sizes)}.")
        return sizes.pop() if sizes else -1

    @property
    def is_initialized(self) -> bool:
        """True if every layer has its tensors."""
        return len(self.layers) > 0 and all(layer.is_initialized for layer in self.layers)

    @property
    def is_compileable(self) -> bool:
        """True if no layer changes its size."""
        return len(self.layers) > 0 and all(layer.is_compileable for layer in self.layers)

    @property
    def is_croppable(self) -> bool:
        """True if every layer has ``crop``."""
        return all(layer.is_croppable for layer in self.layers)

    @property
    def is_sliding(self) -> list[bool]:
        """For each layer, whether it keeps a window only."""
        return [layer.is_sliding for layer in self.layers]


class DynamicCache(Cache):
    """Grows with the sequence; layers that a config calls sliding keep their window only.

    Args:
        ddp_cache_data: one ``(keys, values)`` or ``(keys, values, window or None)`` a layer.
        config: the model's config. Without it every layer keeps all tokens.
    """

    def __init__(
        self,
        ddp_cache_data: Iterable[tuple[paddle.Tensor | None, ...]] | None = None,
        config: Any = None,
        offloading: bool = False,
        offload_only_non_sliding: bool = False,
    ) -> None:
        _refuse_offloading(offloading)
        layers: list[CacheLayerMixin] = []
        if config is not None:
            layers = [_DYNAMIC[kind](**kwargs) for kind, kwargs in _layer_plan(config)]
        for i, (keys, values, *window) in enumerate(ddp_cache_data or ()):
            if config is None:
                sliding = bool(window) and window[0] is not None
                layers.append(
                    DynamicSlidingWindowLayer(int(window[0] or 0)) if sliding else DynamicLayer()
                )
            if keys is not None and values is not None:
                layers[i].update(keys, values)
        if layers:
            super().__init__(layers=layers)
        else:
            super().__init__(layer_class_to_replicate=DynamicLayer)

    def __iter__(self) -> Iterator[tuple]:
        for layer in self.layers:
            yield layer.keys, layer.values, getattr(layer, "_sliding_window_tensor", None)


class StaticCache(Cache):
    """Room for ``max_cache_len`` tokens a layer, allocated once; windows where layers slide."""

    def __init__(
        self,
        config: Any,
        max_cache_len: int,
        offloading: bool = False,
        offload_only_non_sliding: bool = True,
        **kwargs: Any,
    ) -> None:
        _refuse_offloading(offloading)
        super().__init__(
            layers=[
                _STATIC[kind](max_cache_len=max_cache_len, **arguments)
                for kind, arguments in _layer_plan(config)
            ]
        )


SlidingWindowCache = StaticCache


class QuantizedCache(Cache):
    """Not implemented; the name exists so that the refusal can say so."""

    def __init__(self, backend: str = "quanto", *args: Any, **kwargs: Any) -> None:
        raise UnsupportedArgumentError(
            f"QuantizedCache(backend={backend!r}): hfpaddle has no quantized key/value cache. "
            f"Use DynamicCache or StaticCache (cache_implementation='dynamic' or 'static')."
        )


class EncoderDecoderCache(Cache):
    """A decoder's own cache beside that of the encoder's keys and values, which is filled once.

    Takes the two caches, or one iterable of ``self keys, self values, [window,] cross keys, cross
    values[, window]`` a layer. ``is_updated[layer]`` says that the encoder's side is filled.
    """

    def __init__(self, *caches: Any) -> None:
        if len(caches) == 1:
            rows = [tuple(row) for row in caches[0]]
            if any(len(row) not in (4, 6) for row in rows):
                raise ValueError(
                    f"EncoderDecoderCache: each layer needs 4 or 6 values, "
                    f"got {[len(row) for row in rows]}."
                )
            halves = [(row[: len(row) // 2], row[len(row) // 2 :]) for row in rows]
            caches = (DynamicCache([a for a, _ in halves]), DynamicCache([b for _, b in halves]))
        elif len(caches) != 2:
            raise ValueError(f"EncoderDecoderCache takes 1 or 2 arguments, got {len(caches)}.")
        for cache in caches:
            if not isinstance(cache, Cache):
                raise TypeError(f"EncoderDecoderCache: {type(cache).__name__} is not a Cache.")
        self.self_attention_cache, self.cross_attention_cache = caches
        self.is_updated = {
            i: self.cross_attention_cache.get_seq_length(i) > 0
            for i in range(len(self.cross_attention_cache))
        }

    def __iter__(self) -> Iterator[tuple]:
        for own, cross in zip(self.self_attention_cache, self.cross_attention_cache, strict=False):
            yield own + cross

    def __repr__(self) -> str:
        return (
            f"EncoderDecoderCache(self_attention_cache={self.self_attention_cache}, "
            f"cross_attention_cache={self.cross_attention_cache})"
        )

    @property
    def layers(self) -> list[Any]:  # type: ignore[override]
        """The decoder's own layers, which the sizes and properties of `Cache` speak of."""
        return self.self_attention_cache.layers

    def _both(self, method: str) -> tuple[Cache, Cache]:
        both = self.self_attention_cache, self.cross_attention_cache
        if not all(isinstance(cache, DynamicCache) for cache in both):
            raise TypeError(
                f"{method} is defined for dynamic caches only, got {both[0]} and {both[1]}."
            )
        return both

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """Ambiguous here: raises. Use ``self_attention_cache`` or ``cross_attention_cache``."""
        raise TypeError(
            "EncoderDecoderCache.update: say which side, `cache.self_attention_cache.update(...)` "
            "or `cache.cross_attention_cache.update(...)`."
        )

    def reset(self) -> None:
        self.self_attention_cache.reset()
        self.cross_attention_cache.reset()
        self.is_updated = dict.fromkeys(self.is_updated, False)

    def reorder_cache(self, beam_idx: paddle.Tensor) -> None:
        self.self_attention_cache.reorder_cache(beam_idx)
        self.cross_attention_cache.reorder_cache(beam_idx)

    def crop(self, tokens_to_remove: int) -> None:
        self._both("crop")[0].crop(tokens_to_remove)

    def batch_repeat_interleave(self, repeats: int) -> None:
        for cache in self._both("batch_repeat_interleave"):
            cache.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: paddle.Tensor) -> None:
        for cache in self._both("batch_select_indices"):
            cache.batch_select_indices(indices)
