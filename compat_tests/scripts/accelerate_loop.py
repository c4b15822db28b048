"""Train a causal language model with Accelerator: accumulation, checkpoints, resuming."""

import json
import math
import os
import sys

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import ProjectConfiguration, set_seed
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    get_cosine_schedule_with_warmup,
)

logger = get_logger(__name__)
model_path, data_path, out_path = sys.argv[1:4]

project = ProjectConfiguration(project_dir=out_path + ".project", automatic_checkpoint_naming=True)
accelerator = Accelerator(gradient_accumulation_steps=2, project_config=project, cpu=True)
set_seed(11)

tokenizer = AutoTokenizer.from_pretrained(model_path)
tokenizer.pad_token = tokenizer.eos_token
model = AutoModelForCausalLM.from_pretrained(model_path)
model.gradient_checkpointing_enable()
with open(data_path) as file:
    texts = [f"{row['sentence1']} {row['sentence2']}" for row in json.load(file)]
with accelerator.main_process_first():
    features = [tokenizer(text, truncation=True, max_length=40) for text in texts]
collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
train_loader = DataLoader(features[:20], shuffle=True, collate_fn=collator, batch_size=4)
eval_loader = DataLoader(features[20:], collate_fn=collator, batch_size=4)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
scheduler = get_cosine_schedule_with_warmup(optimizer, 1, 6)
model, optimizer, train_loader, eval_loader, scheduler = accelerator.prepare(
    model, optimizer, train_loader, eval_loader, scheduler
)

losses, evaluated = [], []


def train_epoch():
    model.train()
    for batch in train_loader:
        with accelerator.accumulate(model):
            loss = model(**batch).loss
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        losses.append(loss.detach().item())


def evaluate():
    model.eval()
    found = []
    for batch in eval_loader:
        with torch.no_grad():
            loss = model(**batch).loss
        found.append(accelerator.gather_for_metrics(loss.repeat(batch["input_ids"].shape[0])))
    mean = torch.mean(torch.cat(found))
    logger.info("perplexity %s", math.exp(mean))
    evaluated.append(mean.item())


train_epoch()
evaluate()
accelerator.save_state()
before = [p.clone() for p in accelerator.unwrap_model(model).parameters()]
train_epoch()
evaluate()
accelerator.wait_for_everyone()

# Back to the end of the first epoch: the second must repeat itself, dropout and order included.
accelerator.load_state(os.path.join(out_path + ".project", "checkpoints", "checkpoint_0"))
same = all(
    torch.equal(a, b)
    for a, b in zip(before, accelerator.unwrap_model(model).parameters(), strict=True)
)
train_epoch()
evaluate()

unwrapped = accelerator.unwrap_model(model)
unwrapped.save_pretrained(
    out_path + ".model",
    is_main_process=accelerator.is_main_process,
    save_function=accelerator.save,
)
if accelerator.is_main_process:
    tokenizer.save_pretrained(out_path + ".model")
    record = {
        "losses": losses,
        "evaluated": evaluated,
        "rates": scheduler.get_last_lr(),
        "exact": [same, accelerator.num_processes, str(accelerator.device)],
    }
    with open(out_path, "w") as file:
        json.dump(record, file)
accelerator.end_training()
