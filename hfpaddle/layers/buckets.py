"""Buckets of relative positions. Source: arXiv:1910.10683, section 2.1."""

from __future__ import annotations

import math

import numpy as np


def position_buckets(
    distances: np.ndarray, bidirectional: bool, buckets: int, max_distance: int
) -> np.ndarray:
    """Return the bucket of each distance "key's position minus query's", int64, same shape.

    Half of the buckets hold one distance each; the others grow like a logarithm up to
    ``max_distance``. Bidirectional attention gives half of all buckets to keys that follow.
    """
    result = np.zeros_like(distances)
    if bidirectional:
        buckets //= 2
        result = (distances > 0) * buckets
        distances = np.abs(distances)
    else:
        distances = np.maximum(-distances, 0)
    exact = buckets // 2
    far = np.maximum(distances, exact).astype(np.float32)
    # In float32 step by step, since distances at the edge of a bucket depend on the rounding.
    grown = np.log(far / np.float32(exact)) / np.float32(math.log(max_distance / exact))
    far_bucket = exact + (grown * np.float32(buckets - exact)).astype(np.int64)
    return result + np.where(distances < exact, distances, np.minimum(far_bucket, buckets - 1))
