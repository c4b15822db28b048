"""Prompt tokens a second, ours and the original library's, in one interleaved run.

A forward pass over 512 tokens that fills a cache and returns the last position's logits. Random
weights in SmolLM-135M's shape; processes and turns as in bench_decode.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from common import Result
from pairs import PREFILL, compare

GOALS = (
    ("float32", "float32", 1.1),
    ("bfloat16", "bfloat16", 1.1),
    ("int8", "bfloat16", 1.1),
    ("int4", "bfloat16", 1.1),
)


def measure(repeat: int) -> Iterator[Result]:
    yield from compare("smollm-135m", PREFILL, 512, GOALS, repeat, "prefill smollm 512")
