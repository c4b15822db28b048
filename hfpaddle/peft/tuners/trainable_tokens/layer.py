"""An embedding, or the head tied to it, some rows of which are an adapter's own.

Shape letters: V vocabulary, H hidden, n trained tokens.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import (
    BufferDict,
    ParameterDict,
    compute_dtype,
    new_parameter,
    normal,
)


class TrainableTokensLayer(BaseTunerLayer):
    """Rows ``[n, H]`` stand in for those of the table; nothing is added to them.

    Args:
        tied: the embedding's layer, if this is the head that shares its weight: all is taken from
            there.
    """

    adapter_layer_names = ("trainable_tokens_delta",)
    other_param_names = ("token_indices", "trainable_tokens_original")

    def __init__(
        self, base_layer: nn.Layer, adapter_name: str, tied: TrainableTokensLayer | None = None
    ) -> None:
        super().__init__(base_layer)
        self._active_adapter = adapter_name
        self._tied = [] if tied is None else [tied]  # in a list: no sublayer of this one
        if tied is None:
            self.trainable_tokens_delta = ParameterDict()
            self.trainable_tokens_original = BufferDict()
            self.token_indices: dict[str, list[int]] = {}
        else:
            self.trainable_tokens_delta = tied.trainable_tokens_delta
            self.trainable_tokens_original = tied.trainable_tokens_original
            self.token_indices = tied.token_indices

    @property
    def tied_adapter(self) -> TrainableTokensLayer | None:
        return self._tied[0] if self._tied else None

    def update_layer(
        self, adapter_name: str, token_indices: list[int], init_weights: bool = True
    ) -> None:
        """Add an adapter. Raises: IndexError for a token that the table lacks."""
        if self._tied:
            return
        weight = self.get_base_layer().weight
        rows = weight.shape[0]
        outside = [i for i in token_indices if not -rows <= i < rows]
        if outside:
            raise IndexError(
                f"token_indices: {outside[:5]} are not rows of the embedding ({rows} rows). Call "
                "resize_token_embeddings first."
            )
        self.token_indices[adapter_name] = token_indices
        index = paddle.to_tensor([i % rows for i in token_indices], "int64", place=weight.place)
        with paddle.no_grad():
            originals = paddle.index_select(weight, index, axis=0).detach()
        values: Any = originals if init_weights else normal(originals.shape)
        self.trainable_tokens_delta[adapter_name] = new_parameter(values)
        self.trainable_tokens_original[adapter_name] = originals.clone()
        self._move_adapter_to_device_of_base_layer(adapter_name)

    def _check_disjunct(self, adapter_names: list[str]) -> None:
        seen: set[int] = set()
        for adapter in dict.fromkeys([*self.merged_adapters, *adapter_names]):
            own = set(self.token_indices[adapter])
            if seen & own:
                raise ValueError(
                    f"Token indices of adapter {adapter} are already defined and would result in "
                    "undefined merging behavior. Only disjunct token indices are currently "
                    "supported."
                )
            seen |= own

    def _known(self, adapters: list[str]) -> list[str]:
        return [name for name in adapters if name in self.token_indices]

    def _index(self, adapter: str) -> paddle.Tensor:
        rows = self.weight.shape[0]
        numbers = [i % rows for i in self.token_indices[adapter]]
        return paddle.to_tensor(numbers, "int64", place=self.weight.place)

    def _replaced(self, weight: paddle.Tensor, adapter: str, rows: paddle.Tensor) -> paddle.Tensor:
        dtype = compute_dtype(weight)  # not every device scatters what it stores
        return paddle.scatter(weight.astype(dtype), self._index(adapter), rows.astype(dtype))

    def get_merged_weights(self, active_adapters: list[str]) -> paddle.Tensor:
        """The whole weight ``[V, H]`` with the adapters' rows in it."""
        weight = self.get_base_layer().weight
        for adapter in self._known(active_adapters):
            weight = self._replaced(weight, adapter, self.trainable_tokens_delta[adapter])
        return weight

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Write adapters' rows into the base weight; ``safe_merge`` refuses what is not finite."""
        names = self._known(check_adapters_to_merge(self, adapter_names))
        if not names:
            return
        self._check_disjunct(names)
        with paddle.no_grad():
            merged = self.get_merged_weights(names).detach()
        self.set_base_weight(self.checked_finite(merged, names[-1]) if safe_merge else merged)
        self.merged_adapters += names

    def unmerge(self) -> None:
        """Write the rows of before back."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            with paddle.no_grad():
                original = self.trainable_tokens_original[adapter]
                weight = self._replaced(self.weight.detach(), adapter, original)
            self.set_base_weight(weight)

    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        return self.forward_adapters(x, self.active_adapters, *args, **kwargs)

    def forward_adapters(
        self, x: paddle.Tensor, adapters: list[str], *args: Any, **kwargs: Any
    ) -> paddle.Tensor:
        """The base layer's result with these adapters' rows."""
        adapters = self._known(adapters)
        if self.disable_adapters or not adapters:
            if self.merged:
                self.unmerge()
            return self.base_layer(x, *args, **kwargs)
        if self.merged:
            return self.base_layer(x, *args, **kwargs)
        self._check_disjunct(adapters)
        base = self.get_base_layer()
        if layers.is_linear(base):
            return ops.linear(x, self.get_merged_weights(adapters).astype(x.dtype))
        if not layers.is_embedding(base):
            raise TypeError(f"TrainableTokensLayer wraps neither embedding nor head: {base}")
        result = self.base_layer(x, *args, **kwargs)
        for adapter in adapters:
            result = self._put_rows(result, x, adapter)
        return result

    def _put_rows(self, result: paddle.Tensor, ids: paddle.Tensor, adapter: str) -> paddle.Tensor:
        """``result`` with an adapter's row wherever ``ids`` holds one of its tokens."""
        base, rows = self.get_base_layer(), self.weight.shape[0]
        numbers = np.array([i % rows for i in self.token_indices[adapter]])
        where = np.full([rows], -1, "int64")
        where[numbers] = np.arange(len(numbers))
        lookup = paddle.to_tensor(where, place=ids.place)
        position = paddle.gather(lookup, ids.astype("int64").flatten()).reshape(ids.shape)
        own = F.embedding(position.clip(min=0), self.trainable_tokens_delta[adapter])
        scale = layers.embed_scale(base)
        own = own.astype(result.dtype)
        own = own if scale is None else own * scale.astype(own.dtype)
        pad = layers.pad_index(base)
        if pad is not None and not own.stop_gradient:
            own = paddle.where((ids == pad).unsqueeze(-1), own.detach(), own)
        return paddle.where((position >= 0).unsqueeze(-1), own, result)

    def __repr__(self) -> str:
        return "trainable_tokens." + super().__repr__()
