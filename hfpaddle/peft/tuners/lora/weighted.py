"""Adapters made of others: weighted sums, concatenation, and their truncated singular values."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import paddle

from hfpaddle.peft.tuners.lora.layer import Conv2d, LoraLayer
from hfpaddle.peft.utils.arrays import write
from hfpaddle.peft.utils.merge_utils import combine
from hfpaddle.peft.utils.other import _freeze_adapter
from hfpaddle.peft.utils.wrappers import ModulesToSaveWrapper

_EQUAL_RANKS = ("linear", "ties", "dare_ties", "dare_linear", "magnitude_prune")


def _factors(layer: Any, adapter: str) -> tuple[Any, Any] | None:
    """(A, B) of an adapter in a layer, or None if it has none there."""
    if adapter in layer.lora_A:
        return layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    if adapter in layer.lora_embedding_A:
        return layer.lora_embedding_A[adapter], layer.lora_embedding_B[adapter]
    return None


class WeightedAdapters:
    """`add_weighted_adapter`, for the tuner that has ``peft_config`` and ``inject_adapter``."""

    model: Any
    peft_config: dict[str, Any]
    inject_adapter: Any
    sublayers: Any

    def add_weighted_adapter(
        self,
        adapters: list[str],
        weights: list[float],
        adapter_name: str,
        combination_type: str = "svd",
        svd_rank: int | None = None,
        svd_clamp: float | None = None,
        svd_full_matrices: bool = True,
        svd_driver: str | None = None,
        density: float | None = None,
        majority_sign_method: str = "total",
    ) -> None:
        """Make ``adapter_name`` out of ``adapters``.

        Args:
            combination_type: "linear" (of the factors), "cat" (of the factors, ranks add up),
                "svd" (of the products, cut to ``svd_rank``), or "ties", "dare_linear", "dare_ties"
                and "magnitude_prune", each also with "_svd".
            svd_clamp: quantile beyond which singular vectors are cut.
            svd_full_matrices, svd_driver: accepted; they do not change what is kept.
            density: share of values that pruning keeps.
        Raises: ValueError for adapters that do not exist, or ranks that do not fit together.
        """
        if adapter_name in self.peft_config:
            return
        kind, rank, targets = self._check_combination(adapters, combination_type, svd_rank)
        self.peft_config[adapter_name] = replace(
            self.peft_config[adapters[0]],
            r=rank,
            lora_alpha=rank,
            target_modules=targets,
            alpha_pattern={},
            rank_pattern={},
        )
        self.inject_adapter(self.model, adapter_name)
        _freeze_adapter(self.model, adapter_name)
        settings = {"density": density, "method": majority_sign_method}
        for layer in self.model.sublayers():
            target = _factors(layer, adapter_name) if isinstance(layer, LoraLayer) else None
            if target is None:
                continue
            own = [(n, w) for n, w in zip(adapters, weights, strict=True) if _factors(layer, n)]
            if not own:
                raise ValueError(f"add_weighted_adapter: none of {adapters} has this layer.")
            with paddle.no_grad():
                if kind == "cat":
                    a, b = _concatenated(layer, own, target)
                elif kind.endswith("svd"):
                    how = "linear" if kind == "svd" else kind.removesuffix("_svd")
                    a, b = _truncated(layer, own, target, how, rank, svd_clamp, settings)
                else:
                    a, b = _summed(layer, own, kind, settings)
            write(target[0], a)
            write(target[1], b)

    def _check_combination(
        self, adapters: list[str], kind: str, svd_rank: int | None
    ) -> tuple[str, int, Any]:
        for adapter in adapters:
            if adapter not in self.peft_config:
                raise ValueError(f"Adapter {adapter} does not exist")
        for layer in self.sublayers():
            if isinstance(layer, ModulesToSaveWrapper):
                if sum(adapter in layer.modules_to_save for adapter in adapters) > 1:
                    raise ValueError(
                        "Cannot add weighted adapters if they target the same module with "
                        "modules_to_save."
                    )
        if not adapters:
            raise ValueError(f"Found no adapter matching the names in {adapters}")
        configs = [self.peft_config[adapter] for adapter in adapters]
        kind = "linear" if len(adapters) == 1 else kind
        ranks = [max([c.r, *(c.rank_pattern or {}).values()]) for c in configs]
        if kind in _EQUAL_RANKS:
            if len(set(ranks)) != 1:
                raise ValueError(
                    "All adapters must have the same r value when using combination_type linear, "
                    "ties, dare_ties or dare_linear."
                )
            rank = ranks[0]
        elif kind == "cat":
            rank = sum(ranks)
        elif kind == "svd" or (kind.endswith("_svd") and kind[:-4] in _EQUAL_RANKS[1:]):
            rank = svd_rank or max(ranks)
        else:
            raise ValueError(f"Invalid combination_type: {kind}")
        kinds = {type(config.target_modules) for config in configs}
        if len(kinds) > 1:
            raise ValueError(
                "all adapter configs should follow the same target modules type. Combining "
                "adapters with `target_modules` type being a mix of list/set and string is not "
                "supported."
            )
        if kinds == {str}:
            return kind, rank, "|".join(f"({config.target_modules})" for config in configs)
        if kinds == {set}:
            return kind, rank, set().union(*(config.target_modules for config in configs))
        raise TypeError(f"Invalid type {kinds.pop()} found in target_modules")


def _concatenated(layer: Any, own: list, target: Any) -> tuple[Any, Any]:
    a_parts, b_parts = [], []
    for adapter, weight in own:
        a, b = _factors(layer, adapter)  # type: ignore[misc]
        a_parts.append(a * (weight * layer.scaling[adapter]))
        b_parts.append(b)
    a, b = paddle.concat(a_parts, axis=0), paddle.concat(b_parts, axis=1)
    missing = target[0].shape[0] - a.shape[0]
    if missing:  # adapters without this layer leave their rank empty
        a = paddle.concat([a, paddle.zeros([missing, *a.shape[1:]], a.dtype)], axis=0)
        b = paddle.concat([b, paddle.zeros([b.shape[0], missing, *b.shape[2:]], b.dtype)], axis=1)
    return a, b


def _summed(layer: Any, own: list, kind: str, settings: dict[str, Any]) -> tuple[Any, Any]:
    """Combine the factors; each carries the root of its weight, ``A`` the sign."""
    sizes = [weight * layer.scaling[adapter] for adapter, weight in own]
    roots = [math.sqrt(abs(size)) for size in sizes]
    signed = [root if size >= 0 else -root for root, size in zip(roots, sizes, strict=True)]
    pairs = [_factors(layer, adapter) for adapter, _ in own]
    a = combine(kind, [pair[0] for pair in pairs], signed, **settings)  # type: ignore[index]
    b = combine(kind, [pair[1] for pair in pairs], roots, **settings)  # type: ignore[index]
    return a, b


def _truncated(
    layer: Any, own: list, target: Any, kind: str, rank: int, clamp: float | None,
    settings: dict[str, Any],
) -> tuple[Any, Any]:  # fmt: skip
    """Combine the products and keep the ``rank`` largest singular values."""
    deltas = [layer.get_delta_weight(adapter).astype("float32") for adapter, _ in own]
    delta = combine(kind, deltas, [weight for _, weight in own], **settings).numpy()
    if isinstance(layer, Conv2d):
        delta = delta.reshape([delta.shape[0], -1])
    if layer.fan_in_fan_out or len(layer.lora_embedding_A):
        delta = delta.T
    u, s, vh = np.linalg.svd(delta, full_matrices=False)
    b, a = u[:, :rank] * s[:rank], vh[:rank]
    missing = rank - a.shape[0]
    if missing > 0:
        a = np.concatenate([a, np.zeros([missing, a.shape[1]], a.dtype)])
        b = np.concatenate([b, np.zeros([b.shape[0], missing], b.dtype)], axis=1)
    if clamp is not None:
        high = np.quantile(np.concatenate([b.ravel(), a.ravel()]), clamp)
        a, b = a.clip(-high, high), b.clip(-high, high)
    a, b = a.reshape(target[0].shape), b.reshape(target[1].shape)
    return np.ascontiguousarray(a), np.ascontiguousarray(b)
