"""Mirror of ``trl.rewards.format_rewards``."""

from __future__ import annotations

import re
from typing import Any

_THINKS_FIRST = re.compile(r"^<think>(?!.*<think>)(.*?)</think>.*$", re.DOTALL | re.MULTILINE)


def think_format_reward(completions: list[list[dict[str, str]]], **kwargs: Any) -> list[float]:
    """Return 1.0 for completions that begin with the only ``<think>`` and close it, else 0.0.

    Args:
        completions: each a list of one message.
        kwargs: what else a trainer gives; unused.
    """
    return [float(_THINKS_FIRST.match(turns[0]["content"]) is not None) for turns in completions]
