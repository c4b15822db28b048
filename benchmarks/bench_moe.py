"""A mixture of experts: generation, a prompt and a training step, of ours and of transformers.

The model is a small Qwen3-MoE (263 million parameters, 4 of 32 experts a token) with random
weights. Each side holds one process a dtype; they take turns, so that all meet the same machine.
Time of generation is that of `generate` for 20 new tokens less that for 4, so the prompt's share
is out. The tokens of the float32 sides and their training losses are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator

from common import OURS, THEIRS, Result, Worker

CONFIG = {
    **{"hidden_size": 768, "moe_intermediate_size": 384, "num_hidden_layers": 8},
    **{"num_experts": 32, "num_experts_per_tok": 4, "norm_topk_prob": True, "head_dim": 64},
    **{"num_attention_heads": 12, "num_key_value_heads": 4, "vocab_size": 32000},
    **{"tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
DTYPES = ("float32", "bfloat16")
UNITS = {"decode 1": "tok/s", "decode 8": "tok/s", "prompt 512": "tok/s", "train 2x256": "tok/s"}
PAUSE = 0.3  # seconds between turns, in which the last one's threads stop spinning

WRITE = """
import json, sys, transformers, hfpaddle.transformers as hf
hf.set_seed(0)
config = transformers.Qwen3MoeConfig(**json.loads(sys.argv[2]))
hf.Qwen3MoeForCausalLM(config).save_pretrained(sys.argv[1])
"""

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

def words(rows, count):
    return tensor([[(7 * i + 911 * r) % 31000 + 3 for i in range(count)] for r in range(rows)])

def timed(call):
    begin = time.perf_counter()
    out = call()
    return time.perf_counter() - begin, out

def decode(rows):
    prompt = words(rows, 16)
    def generate(count):
        return model.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False)
    short, _ = timed(lambda: generate(4))
    long, out = timed(lambda: generate(20))
    return {"speed": 16 * rows / (long - short), "check": out[:, 16:].tolist()}

def prompt():
    ids = words(1, 512)
    with framework.no_grad():
        seconds, out = timed(lambda: model(ids))
    logits = out.logits.astype("float32") if library == "ours" else out.logits.float()
    # By numpy: Paddle's own mean of 16 million numbers loses digits.
    return {"speed": 512 / seconds, "check": float(abs(logits.numpy()).mean(dtype="float64"))}

def train():
    ids = words(2, 256)
    model.train()
    def step():
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        return loss
    seconds, loss = timed(step)
    for p in model.parameters():
        p.clear_gradient(False) if library == "ours" else setattr(p, "grad", None)
    model.eval()
    return {"speed": 512 / seconds, "check": float(loss)}

tasks = {"decode 1": lambda: decode(1), "decode 8": lambda: decode(8), "prompt 512": prompt}
if dtype == "float32":
    tasks["train 2x256"] = train
print(json.dumps("ready"), flush=True)
while sys.stdin.readline():
    print(json.dumps({"found": {name: task() for name, task in tasks.items()}}), flush=True)
    print(json.dumps("ready"), flush=True)
"""


def measure(repeat: int) -> Iterator[Result]:
    speeds: dict[tuple[str, str, str], list[float]] = {}
    checks: dict[tuple[str, str], object] = {}
    load, workers = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(OURS), "-W", "ignore", "-c", WRITE, scratch, json.dumps(CONFIG)]
        subprocess.run(command, check=True, capture_output=True)
        try:
            for dtype in DTYPES:
                for side, python in (("ours", OURS), ("theirs", THEIRS)):
                    workers[side, dtype] = Worker(python, CODE, side, scratch, dtype)
            for turn in range(repeat + 1):  # the first warms up
                load.append(os.getloadavg()[0])
                for (side, dtype), worker in workers.items():
                    time.sleep(PAUSE)
                    worker.go()
                    for task, found in worker.read("found")["found"].items():
                        checks[side, f"{task} {dtype}"] = found["check"]
                        if turn:
                            speeds.setdefault((side, dtype, task), []).append(found["speed"])
        finally:
            for worker in workers.values():
                worker.stop()
    for task in ("decode 1 float32", "decode 8 float32"):
        assert checks["ours", task] == checks["theirs", task], task
    for task in ("prompt 512 float32", "train 2x256 float32"):
        ours, theirs = checks["ours", task], checks["theirs", task]
        assert abs(ours - theirs) <= 1e-4 * abs(theirs), (task, ours, theirs)
    extra = {"load": f"{min(load):.1f}-{max(load):.1f}", "model": "qwen3_moe 768 E32 k4 I384 L8"}
    for (side, dtype, task), ours in speeds.items():
        if side == "ours":
            theirs = speeds["theirs", dtype, task]
            yield Result(f"{task} {dtype}", UNITS[task], ours, theirs, extra=extra)
