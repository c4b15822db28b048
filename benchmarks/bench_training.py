"""A step of the Trainer at the size of SmolLM-135M: tokens a second and peak memory, ours and
theirs (transformers on torch), and our share of the arithmetic that matrix products reach.

First 2 x 512 tokens, in float32 and with `bf16=True` (where a processor has no AMX, ours is then
float32); then samples of skewed lengths, padded and packed. The limit is the best rate
of Paddle's float32 product of 1024 x 576 with 576 x 1536 in the same run; a step is charged six
operations a weight and token, and attention's. 2 threads: ``OMP_NUM_THREADS=2``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from bench_packing import turns
from common import OURS, Result, child, write_checkpoint

CONFIG = {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152},
    **{"tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
WEIGHTS = 49152 * 576 + 30 * (576 * (576 + 2 * 192) + 576 * 576 + 3 * 576 * 1536)
Kind = tuple[str, str]  # a library and a mode of batching
GOALS = {"2 x 512": 1.1, "2 x 512 bf16": 1.1, "packed": 1.1}  # speed over theirs

PRODUCT = """
import json, time, paddle
x, w = paddle.randn([1024, 576]), paddle.randn([1536, 576])
times = []
with paddle.no_grad():
    for _ in range(200):
        begin = time.perf_counter()
        paddle.matmul(x, w, transpose_y=True)
        times.append(time.perf_counter() - begin)
print(json.dumps(2 * 1024 * 576 * 1536 / min(times)))
"""


def steps_of(
    modes: tuple[str, ...], batch: int, lengths: tuple[int, int], steps: int, load: list[float]
) -> dict[Kind, list[dict[str, float]]]:
    """Return the steps of each library and mode without the first, which is warm-up."""
    found: dict[Kind, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        write_checkpoint(scratch, CONFIG)
        taken = turns(scratch, steps + 1, batch, modes=modes, lengths=lengths)
        for i, results in enumerate(taken):
            load.append(os.getloadavg()[0])
            losses = [result["loss"] for result in results.values()]
            apart = 1e-2 if "bf16" in modes else 1e-3
            assert max(losses) - min(losses) <= apart * min(losses), f"losses differ: {results}"
            for kind, result in results.items():
                if i:
                    found.setdefault(kind, []).append(result)
    return found


def speed(steps: list[dict[str, float]]) -> list[float]:
    return [step["tokens"] / step["s"] for step in steps]


def measure(repeat: int) -> Iterator[Result]:
    load: list[float] = []
    fixed = steps_of(("padded",), 2, (512, 512), repeat, load)
    half = steps_of(("bf16",), 2, (512, 512), repeat, load)
    skewed = steps_of(("padded", "packed"), 8, (8, 384), repeat, load)
    limit = child(OURS, PRODUCT)
    where = {"load": f"{min(load):.1f}-{max(load):.1f}", "model": "llama 576x1536 L30 V49152"}
    pairs = {"2 x 512": fixed, "2 x 512 bf16": half, "padded": skewed, "packed": skewed}
    for name, found in pairs.items():
        mode = {"packed": "packed", "2 x 512 bf16": "bf16"}.get(name, "padded")
        ours, theirs = found["ours", mode], found["theirs", mode]
        share = {"limit_gflops": f"{limit / 1e9:.0f}", "share": ""}
        if found is fixed:
            # forward 4 S D a query, head and layer, half of it masked; backward 2.5 times as much
            operations = 1024 * (6 * WEIGHTS + 3.5 * 30 * 9 * 4 * 64 * 512 / 2)
            share["share"] = f"{max(operations / step['s'] for step in ours) / limit:.2f}"
        goal = GOALS.get(name)
        result = Result(f"train {name}", "tok/s", speed(ours), speed(theirs), extra=where | share)
        if goal:
            result.goal, result.good = f">= {goal}", float(result.row()["ratio"]) >= goal
        yield result
        peaks = [[step["peak"] for step in steps] for steps in (ours, theirs)]
        memory = Result(f"train {name}, peak", "MB", *peaks, goal="<= 1", extra=where | share)
        memory.good = float(memory.row()["ratio"]) <= 1
        yield memory
    ratio = Result(
        "ours packed, theirs padded", "tok/s", speed(skewed["ours", "packed"]),
        speed(skewed["theirs", "padded"]), goal=">= 2", extra=where | share,
    )  # fmt: skip
    ratio.good = float(ratio.row()["ratio"]) >= 2
    yield ratio
