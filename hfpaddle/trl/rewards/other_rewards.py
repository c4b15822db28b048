"""Mirror of ``trl.rewards.other_rewards``: rewards of length and of repetition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def get_repetition_penalty_reward(ngram_size: int = 3, max_penalty: float = -1.0) -> Callable:
    """Return a reward of ``max_penalty`` times the share of n-grams that came before.

    Source: arXiv:2502.03373, appendix C.2. Completions shorter than ``ngram_size`` get 0.

    Raises: ValueError for a positive penalty.
    """
    if max_penalty > 0:
        raise ValueError(f"max_penalty {max_penalty} should not be positive")
    return _RepetitionPenalty(ngram_size, max_penalty)


def get_soft_overlong_punishment(max_completion_len: int, soft_punish_cache: int) -> Callable:
    """Return a reward that falls from 0 to -1 over the last ``soft_punish_cache`` tokens.

    Source: arXiv:2503.14476, eq. 13. Longer completions than ``max_completion_len`` get -1.
    """
    return _SoftOverlongPunishment(max_completion_len, soft_punish_cache)


@dataclass
class _RepetitionPenalty:
    ngram_size: int
    max_penalty: float

    __name__ = "repetition_penalty_reward"

    def __call__(self, completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
        return [self._penalty(ids) for ids in completion_ids]

    def _penalty(self, ids: list[int]) -> float:
        n = self.ngram_size
        grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
        repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
        return repeated * self.max_penalty if repeated else 0.0


@dataclass
class _SoftOverlongPunishment:
    max_completion_len: int
    soft_punish_cache: int

    __name__ = "soft_overlong_punishment_reward"

    def __call__(self, completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
        return [self._punishment(len(ids)) for ids in completion_ids]

    def _punishment(self, length: int) -> float:
        free = self.max_completion_len - self.soft_punish_cache
        if length <= free:
            return 0.0
        if length <= self.max_completion_len:
            return (free - length) / self.soft_punish_cache
        return -1.0
