"""Memory of fine-tuning with LoRA and in full: peak of the process, ours and theirs.

Each process trains SmolLM-135M's shape with a Trainer for a few steps of AdamW: hfpaddle, or
transformers and peft on torch; all weights, or LoRA of rank 8 on every linear layer, whose frozen
weights are float32 or bfloat16; with blocks kept or recomputed (gradient checkpointing). The peak
is the kernel's (VmHWM) from the start of `train`, less what the process held before the model came,
which is the libraries' own; the whole peak stands among the conditions. The goal is LoRA at a
quarter of full fine-tuning. Ours also on weights of 8 bits, against theirs in bfloat16.
HFPADDLE_CPU_HEAP is passed on: the kept heap is faster, the small one has no holes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from common import OURS, THEIRS, THREADS, Result, child, write_checkpoint

CONFIG = {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152},
    **{"tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
BATCH, LENGTH, STEPS = 4, 128, 3
GOAL = 0.25

CODE = """
import json, sys
import numpy as np
library, method, dtype, blocks, folder = sys.argv[1:6]
batch, length, steps, threads = map(int, sys.argv[6:])
if library == "ours":
    import paddle
    import hfpaddle.transformers as hf
    import hfpaddle.peft as peft
else:
    import torch
    import transformers as hf
    import peft
    torch.set_num_threads(threads)
tokens = np.random.default_rng(0).integers(3, 49152, (batch * steps, length)).tolist()
rows = [{"input_ids": row, "labels": row} for row in tokens]
hf.Trainer, hf.TrainingArguments, hf.LlamaForCausalLM  # imported before memory is looked at
before = resident()
options = {"dtype": dtype.replace("int8", "bfloat16")}
if dtype == "int8" and library == "ours":
    options["quantization_config"] = hf.WeightOnlyConfig(bits=8)
model = hf.LlamaForCausalLM.from_pretrained(folder, **options)
if method == "lora":
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    model.enable_input_require_grads()
losses = []
class Log(hf.TrainerCallback):
    def on_log(self, args, state, control, logs, **kwargs):
        losses.extend([float(logs["loss"])] if "loss" in logs else [])
trainer = hf.Trainer(
    model=model,
    args=hf.TrainingArguments(
        folder + "/out", max_steps=steps, per_device_train_batch_size=batch, learning_rate=1e-4,
        logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
        gradient_checkpointing=blocks == "recomputed",
        gradient_checkpointing_kwargs={"use_reentrant": False},
    ),
    train_dataset=rows, callbacks=[Log()],
)
trainer.remove_callback(hf.PrinterCallback)
reset_peak()
trainer.train()
print(json.dumps({
    "peak": peak() - before, "whole": peak(), "losses": losses,
}))
"""


METHODS = {"full": ("full", "float32"), "lora": ("lora", "float32")}
METHODS["lora on bfloat16"] = ("lora", "bfloat16")
METHODS["lora on int8"] = ("lora", "int8")  # theirs: bfloat16, as nothing rounds on their CPU


def one(side: str, method: str, blocks: str, folder: str) -> dict:
    python = OURS if side == "ours" else THEIRS
    sizes = map(str, (BATCH, LENGTH, STEPS, THREADS))
    return child(python, CODE, side, *METHODS[method], blocks, folder, *sizes)


def check_losses(method: str, ours: list[float], theirs: list[float]) -> None:
    """Compare the first steps, when adapters are zero; bfloat16 is a storage format with us."""
    limit = 1e-3 if method in ("full", "lora") else 1e-2
    for a, b in zip(ours, theirs, strict=True):
        assert abs(a - b) <= limit * b, f"{method}: losses differ: {ours}, {theirs}"


def measure(repeat: int) -> Iterator[Result]:
    names = ("HFPADDLE_CPU_HEAP",)
    heap = " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    where = {"model": f"llama 576x1536 L30 V49152, {BATCH} x {LENGTH} tokens", "heap": heap}
    with tempfile.TemporaryDirectory() as scratch:
        write_checkpoint(scratch, CONFIG)
        for blocks in ("kept", "recomputed"):
            full: list[list[float]] = []
            for method in METHODS:
                sides: list[list[dict]] = [[], []]
                for _ in range(repeat):
                    for runs, side in zip(sides, ("ours", "theirs"), strict=True):
                        runs.append(one(side, method, blocks, scratch))
                check_losses(method, *(runs[0]["losses"] for runs in sides))
                peaks = [[run["peak"] for run in runs] for runs in sides]
                full = full or peaks
                whole = "/".join(f"{runs[0]['whole']:.0f}" for runs in sides)
                extra = {**where, "whole": whole}
                yield Result(f"{method}, blocks {blocks}", "MB", *peaks, extra=extra)
                if method != "full":
                    ratios = [
                        [a / b for a, b in zip(*pair, strict=True)]
                        for pair in zip(peaks, full, strict=True)
                    ]
                    what, good = f"{method} over full, blocks {blocks}", max(ratios[0]) <= GOAL
                    goal = f"<= {GOAL}"
                    yield Result(what, "x", *ratios, goal=goal, good=good, extra=extra)
