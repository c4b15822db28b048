"""Generation and prompts of both sides, in processes that take turns: what benchmarks share."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence

from common import OURS, THEIRS, THREADS, Result, Worker, write_checkpoint

TOKENS = {"tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SHAPES = {
    "smollm-135m": {
        **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
        **{"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, **TOKENS},
    },
    "qwen2-0.5b": {
        **{"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24},
        **{"num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, **TOKENS},
    },
}
# Bytes a weight, with the scales of 64 columns (and their zero points) where it is an integer.
BYTES = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5 + 5 / 64}
PAUSE = 0.3  # seconds between turns, in which the last one's threads stop spinning

LOAD = """
import json, sys, time
library, folder, dtype, count = sys.argv[1:5]
if library == "ours":
    import paddle as framework
    import hfpaddle.transformers as hf
    tensor = framework.to_tensor
else:
    import torch as framework
    import transformers as hf
    tensor = framework.tensor
options = {"dtype": dtype}
if dtype.startswith("int"):
    group = {"group_size": 64} if dtype == "int4" else {}
    rounded = hf.WeightOnlyConfig(bits=int(dtype[3:]), lm_head=True, **group)
    options = {"dtype": "bfloat16", "quantization_config": rounded}
model = hf.AutoModelForCausalLM.from_pretrained(folder, **options).eval()

def turns(measure):
    measure()
    while True:
        print(json.dumps("ready"), flush=True)
        if not sys.stdin.readline():
            break
        print(json.dumps(measure()), flush=True)
"""

DECODE = (
    LOAD
    + """
rows = [[(7 * i + 13 * row) % 49000 + 3 for i in range(16)] for row in range(int(count))]
prompt = tensor(rows)

def generate(new):
    begin = time.perf_counter()
    out = model.generate(prompt, max_new_tokens=new, min_new_tokens=new, do_sample=False)
    return time.perf_counter() - begin, out[0, 16:].tolist()

def measure():
    short, _ = generate(4)
    long, tokens = generate(36)
    return {"speed": 32 * len(rows) / (long - short), "tokens": tokens}

turns(measure)
"""
)

PREFILL = (
    LOAD
    + """
prompt = tensor([[(7 * i) % 49000 + 3 for i in range(int(count))]])

def measure():
    with framework.no_grad():
        begin = time.perf_counter()
        logits = model(prompt, use_cache=True, logits_to_keep=1).logits
    return {"speed": int(count) / (time.perf_counter() - begin), "tokens": int(logits.argmax())}

turns(measure)
"""
)

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
    print(json.dumps({"speed": sum(p.nbytes for p in parts) / seconds}), flush=True)
    print(json.dumps("ready"), flush=True)
"""


def weight_bytes(shape: str, dtype: str) -> float:
    """Return what a token reads: every weight once, the vocabulary's among them."""
    c = SHAPES[shape]
    kv = c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    block = c["hidden_size"] * (2 * c["hidden_size"] + 2 * kv + 3 * c["intermediate_size"])
    return (c["vocab_size"] * c["hidden_size"] + c["num_hidden_layers"] * block) * BYTES[dtype]


@contextlib.contextmanager
def checkpoint(shape: str) -> Iterator[str]:
    """Write the checkpoint, once where HFPADDLE_BENCH_CACHE names a folder to keep it in."""
    cache = os.environ.get("HFPADDLE_BENCH_CACHE")
    with contextlib.ExitStack() as stack:
        folder = cache or stack.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, shape)
        if not os.path.exists(os.path.join(path, "model.safetensors")):
            os.makedirs(path, exist_ok=True)
            write_checkpoint(path, SHAPES[shape])
        yield path


def interleave(workers: dict[tuple, Worker], repeat: int) -> tuple[dict, dict, str]:
    """Let the workers take turns; return speeds and all that they said, and the load."""
    speeds: dict[tuple, list[float]] = {key: [] for key in workers}
    said: dict[tuple, list[dict]] = {key: [] for key in workers}
    load = []
    for _ in range(repeat):
        load.append(os.getloadavg()[0])
        for key, worker in workers.items():
            time.sleep(PAUSE)
            worker.go()
            found = worker.read("speed")
            speeds[key].append(found["speed"])
            said[key].append(found)
    return speeds, said, f"{min(load):.1f}-{max(load):.1f}"


def compare(
    shape: str,
    code: str,
    count: int,
    goals: Sequence[tuple[str, str, float]],
    repeat: int,
    name: str,
) -> Iterator[Result]:
    """Yield a result for each (our dtype, their dtype, ratio wanted)."""
    ours, theirs = {g[0] for g in goals}, {g[1] for g in goals}
    workers: dict[tuple, Worker] = {}
    with checkpoint(shape) as folder:
        try:
            for dtype in sorted(ours):
                workers["ours", dtype] = Worker(OURS, code, "ours", folder, dtype, str(count))
            for dtype in sorted(theirs):
                workers["theirs", dtype] = Worker(THEIRS, code, "theirs", folder, dtype, str(count))
            workers["read",] = Worker(OURS, BANDWIDTH, str(THREADS))
            speeds, said, load = interleave(workers, repeat)
        finally:
            for worker in workers.values():
                worker.stop()
    if "float32" in ours & theirs:
        pair = [said[side, "float32"][-1]["tokens"] for side in ("ours", "theirs")]
        assert pair[0] == pair[1], pair
    limit = statistics.median(speeds["read",])
    for mine, other, wanted in goals:
        got, base = speeds["ours", mine], speeds["theirs", other]
        steps = count if code is DECODE else 0
        used = statistics.median(got) / steps * weight_bytes(shape, mine) if steps else 0
        extra = {"load": load, "model": shape, "against": other, "tokens": str(count)}
        extra |= {"read_gb_s": f"{limit / 1e9:.1f}", "used_gb_s": f"{used / 1e9:.1f}"}
        extra |= {"share_of_limit": f"{used / limit:.2f}" if steps else ""}
        ratio = statistics.median(got) / statistics.median(base)
        what = f"{name} {mine}"
        yield Result(what, "tok/s", got, base, f">= {wanted:g}x", ratio >= wanted, extra)
