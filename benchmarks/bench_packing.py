"""Training on samples of skewed lengths: real tokens a second, padded and packed, ours and theirs.

Four processes hold one Trainer each: hfpaddle and transformers on torch, with batches padded to
their longest sample or flattened by `DataCollatorWithFlattening`. They load the same checkpoint,
see the same samples in the same order, and take turns step by step, so that all meet the same
machine. A step is forward, backward, clipping and AdamW. Padding counts as time, not as tokens.
The losses of the four are compared at every step. bench_lora.py trains adapters in the same turns.

Widths and heads are SmolLM-135M's, with 8 of its 30 layers and a third of its vocabulary, so that
a step takes about a second; the parts' shares of the work stay alike.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator

from common import MEMORY, OURS, THEIRS, Result, Worker, write_checkpoint

CONFIG = {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 8},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 16384},
    **{"tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
BATCH, ROUNDS = 8, 2  # samples a step; measured steps for each unit of --repeat
PAUSE = 0.3  # seconds between turns, in which the last one's threads stop spinning
TOLERANCE = 1e-3

CODE = """
import json, sys, time
import numpy as np
library, mode, method, folder = sys.argv[1:5]
batch, steps, shortest, longest = (int(text) for text in sys.argv[5:9])
if library == "ours":
    import paddle
    import hfpaddle.peft as peft
    import hfpaddle.transformers as hf
    tensor = paddle.to_tensor
else:
    import peft
    import torch
    import transformers as hf
    tensor = torch.tensor
vocabulary = json.load(open(folder + "/config.json"))["vocab_size"]
random = np.random.default_rng(0)
lengths = np.clip(random.lognormal(4.0, 0.9, batch * steps), shortest, longest).astype(int)
rows = [{"input_ids": random.integers(3, vocabulary, n).tolist()} for n in lengths]

def padded(features):
    width = max(len(f["input_ids"]) for f in features)
    def joined(fill, value=None):
        made = [f["input_ids"] for f in features]
        made = made if value is None else [[value] * len(row) for row in made]
        return tensor(np.array([row + [fill] * (width - len(row)) for row in made]))
    return {"input_ids": joined(0), "attention_mask": joined(0, 1), "labels": joined(-100)}

seen = []
def counted(features):
    seen.append(sum(len(f["input_ids"]) for f in features))
    return (hf.DataCollatorWithFlattening() if mode == "packed" else padded)(features)

class Turn(hf.TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        print(json.dumps("ready"), flush=True)
        sys.stdin.readline()
        self.begin = time.perf_counter()
    def on_step_end(self, args, state, control, **kwargs):
        result = {"s": time.perf_counter() - self.begin, "tokens": seen[state.global_step - 1]}
        print(json.dumps({**result, "peak": peak()}), flush=True)
    def on_log(self, args, state, control, logs, **kwargs):
        if "loss" in logs:
            print(json.dumps({"loss": float(logs["loss"])}), flush=True)

model = hf.LlamaForCausalLM.from_pretrained(folder)
if method == "lora":
    hf.set_seed(0)  # both libraries draw the same adapter
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
trainer = hf.Trainer(
    model=model,
    args=hf.TrainingArguments(
        folder + "/out", num_train_epochs=1, per_device_train_batch_size=batch, learning_rate=1e-4,
        logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
        dataloader_drop_last=True, bf16=mode == "bf16",
    ),
    train_dataset=rows, data_collator=counted, callbacks=[Turn()],
)
trainer.remove_callback(hf.PrinterCallback)
trainer.train()
"""


def step(worker: Worker) -> dict[str, float]:
    """Let the worker do a step; return its seconds, tokens, loss and peak memory in MB."""
    worker.go()
    result = worker.read("s")
    return {**result, **worker.read("loss")}


def turns(
    folder: str,
    steps: int,
    batch: int,
    method: str = "full",
    modes: tuple[str, ...] = ("padded", "packed"),
    lengths: tuple[int, int] = (8, 384),
) -> Iterator[dict[tuple[str, str], dict[str, float]]]:
    """Give each step's time, tokens and loss, by library and mode.

    Args:
        method: "full" trains all weights, "lora" an adapter of rank 8 on every linear layer.
        modes: "padded", "packed", or "bf16": padded, with mixed precision.
        lengths: of the shortest and the longest sample, in tokens.
    """
    kinds = [(side, mode) for mode in modes for side in ("ours", "theirs")]
    workers: dict[tuple[str, str], Worker] = {}
    try:
        for side, mode in kinds:
            python = OURS if side == "ours" else THEIRS
            sizes = (str(size) for size in (batch, steps, *lengths))
            workers[side, mode] = Worker(python, MEMORY + CODE, side, mode, method, folder, *sizes)
        for _ in range(steps):
            results = {}
            for kind in kinds:
                time.sleep(PAUSE)
                results[kind] = step(workers[kind])
            yield results
    finally:
        for worker in workers.values():
            worker.stop()


def compare(
    config: dict, model: str, steps: int, batch: int, method: str = "full"
) -> Iterator[Result]:
    """Give tokens a second of both libraries padded and packed, and what packing gains.

    Args:
        config: of the Llama that is trained.
        model: its name in the rows.
        steps: measured ones; one more is warm-up.
    """
    speeds: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        write_checkpoint(scratch, config)
        load = []
        for i, results in enumerate(turns(scratch, steps + 1, batch, method)):
            losses = [result["loss"] for result in results.values()]
            assert max(losses) - min(losses) <= TOLERANCE * min(losses), f"losses differ: {results}"
            load.append(os.getloadavg()[0])
            for kind, result in results.items():
                if i:  # the first step is warm-up
                    speeds.setdefault(kind, []).append(result["tokens"] / result["s"])
    where = {"load": f"{min(load):.1f}-{max(load):.1f}", "model": model}
    where["batch"] = f"{batch} samples, lognormal(4, 0.9) in 8-384 tokens"
    name = {"full": "", "lora": " lora"}[method]
    for mode in ("padded", "packed"):
        ours, theirs = speeds["ours", mode], speeds["theirs", mode]
        yield Result(f"train{name} {mode}", "tok/s", ours, theirs, extra=where)
    gains = [
        [b / a for a, b in zip(speeds[side, "padded"], speeds[side, "packed"], strict=True)]
        for side in ("ours", "theirs")
    ]
    yield Result(f"packed over padded{name}", "x", *gains, extra=where)
    best = [speeds["ours", "packed"], speeds["theirs", "padded"]]
    yield Result(f"ours packed, theirs padded{name}", "tok/s", *best, extra=where)


def measure(repeat: int) -> Iterator[Result]:
    yield from compare(CONFIG, "llama 576x1536 L8 V16384", ROUNDS * repeat, BATCH)
