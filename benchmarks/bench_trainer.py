"""What a Trainer's step costs besides forward, backward and update, on a model so small that this
shows: data, collator, clipping, schedule, callbacks, bookkeeping.

"Theirs" is transformers' Trainer on torch. Each process times steps of the Trainer, then the same
batches through model, backward and optimizer by hand; the rest is the difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from common import OURS, THEIRS, Result, child

WARM, STEPS = 20, 300

CODE = """
import importlib, json, sys, tempfile, time
import numpy as np, transformers
paddle, warm, steps = sys.argv[1] == "paddle", int(sys.argv[2]), int(sys.argv[3])
hf = importlib.import_module("hfpaddle.transformers" if paddle else "transformers")
if not paddle:
    import torch
    torch.set_num_threads(1)
rows = np.random.default_rng(0).integers(1, 100, (2 * steps, 16)).tolist()
class Rows:
    def __len__(self): return len(rows)
    def __getitem__(self, i): return {"input_ids": rows[i], "labels": rows[i]}
clock = []
class Clock(hf.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in (warm, steps):
            clock.append(time.perf_counter())
config = transformers.LlamaConfig(
    vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=2, pad_token_id=0,
)
model = hf.LlamaForCausalLM(config)
args = hf.TrainingArguments(
    tempfile.mkdtemp(), use_cpu=True, max_steps=steps, per_device_train_batch_size=2,
    save_strategy="no", logging_steps=10**6, disable_tqdm=True, report_to="none",
)
trainer = hf.Trainer(model, args, train_dataset=Rows(), callbacks=[Clock()])
trainer.train()
batches = [dict(batch) for batch in trainer.get_train_dataloader()]
optimizer = trainer.create_optimizer()
model.train()
def hand(batch):
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
for batch in batches[:warm]:
    hand(batch)
begin = time.perf_counter()
for batch in batches[warm:]:
    hand(batch)
by_hand = (time.perf_counter() - begin) / (len(batches) - warm)
step = (clock[1] - clock[0]) / (steps - warm)
print(json.dumps({"step": 1e3 * step, "rest": 1e3 * (step - by_hand)}))
"""


def measure(repeat: int) -> Iterator[Result]:
    runs: dict[str, list] = {"paddle": [], "torch": []}
    for _ in range(repeat):  # in turns: a busy machine slows both
        for world, python in (("paddle", OURS), ("torch", THEIRS)):
            runs[world].append(child(python, CODE, world, str(WARM), str(STEPS)))
    names = {"step": "step of the Trainer", "rest": "of it outside model and optimizer"}
    for key, what in names.items():
        ours, theirs = ([run[key] for run in runs[w]] for w in ("paddle", "torch"))
        yield Result(f"{what}, tiny llama, batch 2 x 16", "ms", ours, theirs)
