"""Greedy generation, one prompt: tokens a second of ours and of transformers on torch.

The model is SmolLM-135M's shape with random weights. Each side holds one process a dtype; they take
turns of 32 tokens, so that all meet the same machine. Time is that of `generate` for 36 new tokens
less that for 4, so the prompt's share is out. The tokens of the float32 sides are compared.

The share of the limit is the bytes of the weights, read once a token, over the read bandwidth that
this run measures with the same threads.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator

from common import OURS, THEIRS, Result, Worker, write_checkpoint

CONFIG = {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152},
    **{"tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
DTYPES = ("float32", "bfloat16")
PAUSE = 0.3  # seconds between turns, in which the last one's threads stop spinning

CODE = """
import json, sys, time
library, folder, dtype = sys.argv[1:4]
if library == "ours":
    import paddle as framework
    import hfpaddle.transformers as hf
    tensor = framework.to_tensor
else:
    import torch as framework
    import transformers as hf
    tensor = framework.tensor
model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
prompt = tensor([[(7 * i) % 49000 + 3 for i in range(16)]])

def generate(count):
    begin = time.perf_counter()
    out = model.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False)
    return time.perf_counter() - begin, out[0, 16:].tolist()

generate(4)
while True:
    print(json.dumps("ready"), flush=True)
    if not sys.stdin.readline():
        break
    short, _ = generate(4)
    long, tokens = generate(36)
    print(json.dumps({"speed": 32 / (long - short), "tokens": tokens}), flush=True)
"""

BANDWIDTH = """
import json, sys, time
import numpy as np
from concurrent.futures import ThreadPoolExecutor
parts = [np.ones(1 << 26, np.float32) for _ in range(int(sys.argv[1]))]
print(json.dumps("ready"), flush=True)
while sys.stdin.readline():
    with ThreadPoolExecutor(len(parts)) as pool:
        begin = time.perf_counter()
        list(pool.map(np.max, parts))
        seconds = time.perf_counter() - begin
    print(json.dumps({"bandwidth": sum(p.nbytes for p in parts) / seconds}), flush=True)
    print(json.dumps("ready"), flush=True)
"""


def weight_bytes(dtype: str) -> int:
    c = CONFIG
    kv = c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    block = c["hidden_size"] * (2 * c["hidden_size"] + 2 * kv + 3 * c["intermediate_size"])
    words = c["vocab_size"] * c["hidden_size"] + c["num_hidden_layers"] * block
    return words * (4 if dtype == "float32" else 2)


def measure(repeat: int) -> Iterator[Result]:
    from common import THREADS

    speeds: dict[tuple[str, str], list[float]] = {}
    tokens: dict[tuple[str, str], list[int]] = {}
    bandwidth, load, workers = [], [], {}
    with tempfile.TemporaryDirectory() as scratch:
        write_checkpoint(scratch, CONFIG)
        try:
            for dtype in DTYPES:
                workers["ours", dtype] = Worker(OURS, CODE, "ours", scratch, dtype)
                workers["theirs", dtype] = Worker(THEIRS, CODE, "theirs", scratch, dtype)
            reader = workers["read", ""] = Worker(OURS, BANDWIDTH, str(THREADS))
            for _ in range(repeat):
                load.append(os.getloadavg()[0])
                for kind, worker in workers.items():
                    time.sleep(PAUSE)
                    worker.go()
                    if worker is reader:
                        bandwidth.append(worker.read("bandwidth")["bandwidth"])
                        continue
                    found = worker.read("speed")
                    speeds.setdefault(kind, []).append(found["speed"])
                    tokens[kind] = found["tokens"]
        finally:
            for worker in workers.values():
                worker.stop()
    assert tokens["ours", "float32"] == tokens["theirs", "float32"], tokens
    limit = max(bandwidth)
    for dtype in DTYPES:
        ours, theirs = speeds["ours", dtype], speeds["theirs", dtype]
        share = sorted(ours)[len(ours) // 2] * weight_bytes(dtype) / limit
        extra = {"load": f"{min(load):.1f}-{max(load):.1f}", "model": "llama 576x1536 L30 V49152"}
        extra |= {"read_gb_s": f"{limit / 1e9:.1f}", "share_of_limit": f"{share:.2f}"}
        yield Result(f"decode {dtype}", "tok/s", ours, theirs, extra=extra)
