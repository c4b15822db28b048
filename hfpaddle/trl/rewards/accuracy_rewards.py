"""Mirror of ``trl.rewards.accuracy_rewards``: answers checked by the package math_verify."""

from __future__ import annotations

import importlib.util
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hfpaddle.core.errors import MissingDependencyError

Log = Callable[[str, list], None] | None


def _need_math_verify(name: str) -> None:
    if importlib.util.find_spec("math_verify") is None:
        raise MissingDependencyError(
            f"Please install the `math_verify` package to use {name}: pip install math-verify"
        )


def _limits() -> tuple[int | None, int | None]:
    """Return the seconds that parsing and verifying may take.

    They are measured by signals, which the main thread alone receives.
    """
    if threading.current_thread() is threading.main_thread():
        return 10, 5
    for part in ("parser", "grader"):
        logging.getLogger(f"math_verify.{part}").setLevel(logging.ERROR)
    return None, None


def _verify(content: str, solution: str) -> tuple[float | None, str, str]:
    """Return the reward (None if ``solution`` cannot be read), and both sides as read."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    parsing, verifying = _limits()
    gold = parse(solution, parsing_timeout=parsing)
    if not gold:
        return None, "[unparseable]", "[skipped]"
    extraction = LatexExtractionConfig(
        normalization_config=NormalizationConfig(units=True),
        boxed_match_priority=0,  # what is boxed comes first
        try_extract_without_anchor=False,
    )
    answer = parse(
        content,
        extraction_config=[extraction],
        extraction_mode="first_match",
        parsing_timeout=parsing,
    )
    reward = float(verify(gold, answer, timeout_seconds=verifying))
    return reward, str(gold), str(answer) if answer else "[unparseable]"


def _log(log_extra: Log, solution: list[str], results: list[tuple]) -> list[float | None]:
    if log_extra is not None:
        log_extra("solution", list(solution))
        log_extra("gold_parsed", [gold for _, gold, _ in results])
        log_extra("answer_parsed", [answer for _, _, answer in results])
    return [reward for reward, _, _ in results]


def accuracy_reward(
    completions: list[list[dict[str, str]]],
    solution: list[str],
    log_extra: Log = None,
    **kwargs: Any,
) -> list[float | None]:
    """Return 1.0 where the answer is mathematically equal to the solution, else 0.0.

    Args:
        completions: each a list of one message.
        solution: column of the data; None is the reward where it cannot be read.
        log_extra: given by trainers, to log what was read.
        kwargs: what else a trainer gives; unused.
    Raises: MissingDependencyError without the package math_verify.
    """
    _need_math_verify("accuracy_reward")
    pairs = zip(completions, solution, strict=True)
    results = [_verify(turns[0]["content"], wanted) for turns, wanted in pairs]
    return _log(log_extra, solution, results)


def reasoning_accuracy_reward(
    completions: list[list[dict[str, str]]],
    solution: list[str],
    reasoning_delimiters: list[str] | None = None,
    log_extra: Log = None,
    **kwargs: Any,
) -> list[float | None]:
    """`accuracy_reward` of what follows the reasoning; 0.0 where the reasoning does not end.

    Args:
        reasoning_delimiters: where reasoning ends; by default ``</think>``.
    """
    _need_math_verify("reasoning_accuracy_reward")
    delimiters = ["</think>"] if reasoning_delimiters is None else reasoning_delimiters
    results: list[tuple] = []
    for turns, wanted in zip(completions, solution, strict=True):
        content = turns[0]["content"]
        end = next((mark for mark in delimiters if mark in content), None)
        if end is None:
            results.append((0.0, "[incomplete reasoning]", "[incomplete reasoning]"))
        else:
            results.append(_verify(content.split(end)[-1], wanted))
    return _log(log_extra, solution, results)


def get_cosine_scaled_reward(
    max_len: int,
    min_value_wrong: float = -1.0,
    max_value_wrong: float = -0.5,
    min_value_correct: float = 0.5,
    max_value_correct: float = 1.0,
) -> Callable:
    """Return `accuracy_reward` scaled by length: short right answers get most, short wrong least.

    Source: arXiv:2502.03373, appendix C.1.

    Args:
        max_len: tokens from which on the reward stays what it is.
    """
    return _CosineScaledReward(
        max_len, min_value_wrong, max_value_wrong, min_value_correct, max_value_correct
    )


@dataclass
class _CosineScaledReward:
    max_len: int
    min_value_wrong: float
    max_value_wrong: float
    min_value_correct: float
    max_value_correct: float

    __name__ = "cosine_scaled_reward"

    def __call__(
        self,
        completions: list[list[dict[str, str]]],
        solution: list[str],
        completion_ids: list[list[int]],
        **kwargs: Any,
    ) -> list[float | None]:
        right = accuracy_reward(completions, solution)
        pairs = zip(right, completion_ids, strict=True)
        return [None if value is None else self._scaled(value, len(ids)) for value, ids in pairs]

    def _scaled(self, right: float, length: int) -> float:
        cosine = math.cos(min(length / self.max_len, 1.0) * math.pi)
        long, short = self.max_value_wrong, self.min_value_wrong
        if right:
            long, short = self.min_value_correct, self.max_value_correct
        return float(long + 0.5 * (short - long) * (1.0 + cosine))
