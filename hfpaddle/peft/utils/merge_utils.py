"""Sums of task vectors, pruned and voted on.

Sources: arXiv:2212.04089 (task arithmetic), arXiv:2306.01708 (TIES), arXiv:2311.03099 (DARE).
"""

from __future__ import annotations

import warnings
from typing import Any

import paddle

from hfpaddle.core import rng

Tensor = paddle.Tensor


def magnitude_based_pruning(tensor: Tensor, density: float) -> Tensor:
    """Keep the share ``density`` of largest values."""
    count = int(density * tensor.size)
    flat = tensor.flatten()
    if count == 0:
        return paddle.zeros_like(tensor)
    kept = paddle.topk(flat.abs(), count, largest=True)[1]
    mask = paddle.zeros_like(flat).scatter(kept, paddle.ones([count], dtype=flat.dtype))
    return tensor * mask.reshape(tensor.shape)


def random_pruning(tensor: Tensor, density: float, rescale: bool) -> Tensor:
    """Keep each value with probability ``density``, drawn from torch's stream."""
    probability = paddle.full(tensor.shape, density, dtype="float32").numpy()
    mask = paddle.to_tensor(rng.default_generator.bernoulli(probability), place=tensor.place)
    pruned = tensor * mask.astype(tensor.dtype)
    return pruned / density if rescale else pruned


def prune(tensor: Tensor, density: float, method: str, rescale: bool = False) -> Tensor:
    """Prune by "magnitude" or at "random".

    Raises: ValueError for another method or a negative density.
    """
    if density >= 1:
        warnings.warn(
            f"The density {density} is greater than or equal to 1, no pruning will be performed.",
            stacklevel=2,
        )
        return tensor
    if density < 0:
        raise ValueError(f"Density should be >= 0, got {density}")
    if method == "magnitude":
        return magnitude_based_pruning(tensor, density)
    if method == "random":
        return random_pruning(tensor, density, rescale)
    raise ValueError(f"Unknown method {method}")


def calculate_majority_sign_mask(tensor: Tensor, method: str = "total") -> Tensor:
    """True where a task (first axis) has the sign that most have, by sum or by number."""
    if method not in ("total", "frequency"):
        raise RuntimeError(f'Unimplemented mask method "{method}"')
    sign = paddle.sign(tensor)
    votes = (tensor if method == "total" else sign).sum(axis=0)
    majority = (votes >= 0).astype(tensor.dtype) * 2 - 1
    return sign == majority


def disjoint_merge(task_tensors: Tensor, majority_sign_mask: Tensor) -> Tensor:
    """Mean over the tasks that agree."""
    mask = majority_sign_mask.astype(task_tensors.dtype)
    return (task_tensors * mask).sum(axis=0) / paddle.clip(mask.sum(axis=0), min=1.0)


def _weighted(tensors: list[Tensor], weights: Any) -> Tensor:
    stacked = paddle.stack(tensors)
    weights = paddle.to_tensor(weights, dtype=stacked.dtype, place=stacked.place)
    return stacked * weights.reshape([-1] + [1] * (stacked.ndim - 1))


def task_arithmetic(task_tensors: list[Tensor], weights: Any) -> Tensor:
    """The weighted sum."""
    return _weighted(task_tensors, weights).sum(axis=0)


def magnitude_prune(task_tensors: list[Tensor], weights: Any, density: float) -> Tensor:
    """The weighted sum of what pruning by size leaves."""
    return task_arithmetic([prune(t, density, "magnitude") for t in task_tensors], weights)


def dare_linear(task_tensors: list[Tensor], weights: Any, density: float) -> Tensor:
    """The weighted sum of what random pruning leaves, scaled up."""
    return task_arithmetic([prune(t, density, "random", True) for t in task_tensors], weights)


def _voted(tensors: list[Tensor], weights: Any, method: str) -> Tensor:
    mask = calculate_majority_sign_mask(paddle.stack(tensors), method)
    return disjoint_merge(_weighted(tensors, weights), mask)


def ties(
    task_tensors: list[Tensor], weights: Any, density: float, majority_sign_method: str = "total"
) -> Tensor:
    """Prune by size, then average over the tasks that agree on the sign."""
    pruned = [prune(t, density, "magnitude") for t in task_tensors]
    return _voted(pruned, weights, majority_sign_method)


def dare_ties(
    task_tensors: list[Tensor], weights: Any, density: float, majority_sign_method: str = "total"
) -> Tensor:
    """Prune at random and scale up, then average over the tasks that agree on the sign."""
    pruned = [prune(t, density, "random", True) for t in task_tensors]
    return _voted(pruned, weights, majority_sign_method)


def combine(
    kind: str, tensors: list[Tensor], weights: list[float], density: Any, method: str
) -> Tensor:
    """Combine by name: "linear", "magnitude_prune", "dare_linear", "ties" or "dare_ties".

    Raises: ValueError if the kind prunes and ``density`` is None.
    """
    if kind == "linear":
        return task_arithmetic(tensors, weights)
    if density is None:
        raise ValueError(f"add_weighted_adapter: combination_type={kind!r} needs `density`.")
    plain = {"magnitude_prune": magnitude_prune, "dare_linear": dare_linear}
    if kind in plain:
        return plain[kind](tensors, weights, density)
    return {"ties": ties, "dare_ties": dare_ties}[kind](tensors, weights, density, method)
