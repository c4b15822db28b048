"""Greedy generation: new tokens a second, ours and the original library's, in one interleaved run.

Random weights in the shapes of SmolLM-135M and Qwen2-0.5B. Each side holds a process a dtype; they
take turns of 32 tokens, so that all meet the same machine. Time is that of `generate` for 36 new
tokens less that for 4, so the prompt's share is out. Tokens of float32 are compared. The share of
the limit is the bytes of the weights, read once a token, over the read bandwidth of the same run.
"""

from __future__ import annotations

from collections.abc import Iterator

from common import Result
from pairs import DECODE, compare

SMOLLM = (
    ("float32", "float32", 2.0),
    ("bfloat16", "bfloat16", 3.5),
    ("int8", "bfloat16", 5.0),
    ("int4", "bfloat16", 7.0),
)
QWEN2 = (("bfloat16", "bfloat16", 2.0), ("int4", "bfloat16", 5.0))
BATCH = (("float32", "float32", 2.0), ("bfloat16", "bfloat16", 2.0))


def measure(repeat: int) -> Iterator[Result]:
    yield from compare("smollm-135m", DECODE, 1, SMOLLM, repeat, "decode smollm")
    yield from compare("qwen2-0.5b", DECODE, 1, QWEN2, repeat, "decode qwen2")
    yield from compare("smollm-135m", DECODE, 8, BATCH, repeat, "decode smollm batch 8")
