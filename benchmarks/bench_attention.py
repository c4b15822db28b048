"""Attention alone: ours and torch's ``scaled_dot_product_attention``, forward and both passes.

Both sides get queries, keys and values as views of ``[batch, row, head, element]``, hold one
process and take turns, so that both meet the same machine. A turn is the median of a few calls.

The share of the limit is our arithmetic (products only; 2.5 times the forward pass's for the
backward pass; half of it if causal) over that of a product of two 2048 x 2048 matrices by Paddle,
measured in the same turns and with the same threads.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator

from common import OURS, THEIRS, Result, Worker

# batch, tokens, heads, key/value heads, head size, causal
SHAPES = {
    "4096x8x40": (1, 4096, 8, 8, 40, False),
    "causal 2048x16x64, 4 kv heads": (1, 2048, 16, 4, 64, True),
    "causal 2x512x9x64, 3 kv heads": (2, 512, 9, 3, 64, True),
    "causal 512x9x64, 3 kv heads": (1, 512, 9, 3, 64, True),
}
PAUSE = 0.3  # seconds between turns, in which the last one's threads stop spinning

CODE = """
import json, os, statistics, sys, time
library, shapes = sys.argv[1], json.loads(sys.argv[2])
if library == "ours":
    import paddle as framework
    from hfpaddle import ops
    from hfpaddle.layers.masks import AttentionMask

    def draw(B, S, N, D):
        return framework.randn([B, S, N, D])

    def turned(x):
        return x.transpose([0, 2, 1, 3])

    def attend(q, k, v, causal):
        mask = AttentionMask(q.shape[2], k.shape[2], causal=causal)
        rest = {"scale": q.shape[-1] ** -0.5, "mask": mask, "need_weights": False}
        return ops.attention(q, k, v, **rest)[0]

    def require_grad(x):
        x.stop_gradient = False

    gradients = framework.grad
else:
    import torch as framework
    from torch.nn.functional import scaled_dot_product_attention
    framework.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def draw(B, S, N, D):
        return framework.randn(B, S, N, D)

    def turned(x):
        return x.transpose(1, 2)

    def attend(q, k, v, causal):
        gqa = q.shape[1] != k.shape[1]
        out = scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=gqa)
        return out.transpose(1, 2)

    def require_grad(x):
        x.requires_grad_()

    gradients = framework.autograd.grad

def median(function, calls):
    function()
    seconds = []
    for _ in range(calls):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(seconds)

tensors = {}
for name, (B, S, N, K, D, causal) in shapes.items():
    qkv = [draw(B, S, heads, D) for heads in (N, K, K)]
    for x in qkv:
        require_grad(x)
    tensors[name] = (qkv, draw(B, S, N, D), causal)
square = draw(1, 1, 2048, 2048)[0, 0]

while True:
    print(json.dumps("ready"), flush=True)
    line = sys.stdin.readline().strip()
    if not line:
        break
    found = {}
    for name, (qkv, direction, causal) in tensors.items():
        calls = 3 if shapes[name][1] > 1024 else 9

        def forward():
            with framework.no_grad():
                attend(*map(turned, qkv), causal)

        def both():
            gradients(attend(*map(turned, qkv), causal), qkv, direction)

        found[name] = {"forward": median(forward, calls), "both passes": median(both, calls)}
    found["product"] = median(lambda: framework.matmul(square, square), 5)
    print(json.dumps({"ms": found}), flush=True)
"""


def operations(name: str, what: str) -> float:
    B, S, N, _, D, causal = SHAPES[name]
    forward = 4 * B * N * S * S * D * (0.5 if causal else 1)
    return forward * (1 if what == "forward" else 3.5)


def measure(repeat: int) -> Iterator[Result]:
    load, found = [], {"ours": [], "theirs": []}
    shapes = json.dumps(SHAPES)
    workers = {
        "ours": Worker(OURS, CODE, "ours", shapes),
        "theirs": Worker(THEIRS, CODE, "theirs", shapes),
    }
    try:
        for _ in range(repeat):
            load.append(os.getloadavg()[0])
            for side, worker in workers.items():
                time.sleep(PAUSE)
                worker.go()
                found[side].append(worker.read("ms")["ms"])
    finally:
        for worker in workers.values():
            worker.stop()
    limit = 2 * 2048**3 / (min(turn["product"] for turn in found["ours"]) * 1e-3)
    for name in SHAPES:
        for what in ("forward", "both passes"):
            ours, theirs = ([turn[name][what] for turn in found[side]] for side in found)
            speed = operations(name, what) / (statistics.median(ours) * 1e-3)
            good = statistics.median(ours) <= statistics.median(theirs)
            extra = {"load": f"{min(load):.1f}-{max(load):.1f}", "gflop_s": f"{speed / 1e9:.0f}"}
            extra |= {"product_gflop_s": f"{limit / 1e9:.0f}", "share": f"{speed / limit:.2f}"}
            print(f"  {extra['gflop_s']} GFLOP/s, {extra['share']} of a product's")
            goal = "at most torch's time"
            yield Result(f"{name}, {what}", "ms", ours, theirs, goal, good, extra)
