"""Masked language modelling as in the course: chunks, two collators, Trainer, Accelerator."""

import collections
import json
import math
import sys

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from torch.optim import AdamW
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
    default_data_collator,
    get_scheduler,
    set_seed,
)

model_path, data_path, out_path = sys.argv[1:4]
set_seed(1)
model = AutoModelForMaskedLM.from_pretrained(model_path)
tokenizer = AutoTokenizer.from_pretrained(model_path)

inputs = tokenizer("The cat [MASK] near the garden.", return_tensors="pt")
token_logits = model(**inputs).logits
mask_token_index = torch.where(inputs["input_ids"] == tokenizer.mask_token_id)[1]
mask_token_logits = token_logits[0, mask_token_index, :]
top_5_tokens = torch.topk(mask_token_logits, 5, dim=1).indices[0].tolist()

with open(data_path) as file:
    texts = [f"{row['sentence1']} {row['sentence2']}" for row in json.load(file)]
chunk_size = 24


def tokenize_function(examples):
    result = tokenizer(examples["text"])
    result["word_ids"] = [result.word_ids(i) for i in range(len(result["input_ids"]))]
    return result


def group_texts(examples):
    concatenated = {k: sum(examples[k], []) for k in examples.keys()}
    total_length = len(concatenated["input_ids"]) // chunk_size * chunk_size
    result = {
        k: [t[i : i + chunk_size] for i in range(0, total_length, chunk_size)]
        for k, t in concatenated.items()
    }
    result["labels"] = result["input_ids"].copy()
    return result


def whole_word_masking_data_collator(features):
    for feature in features:
        word_ids = feature.pop("word_ids")
        mapping = collections.defaultdict(list)
        current_word_index = -1
        current_word = None
        for idx, word_id in enumerate(word_ids):
            if word_id is not None:
                if word_id != current_word:
                    current_word = word_id
                    current_word_index += 1
                mapping[current_word_index].append(idx)
        mask = np.random.binomial(1, 0.2, (len(mapping),))
        input_ids = feature["input_ids"]
        labels = feature["labels"]
        new_labels = [-100] * len(labels)
        for word_id in np.where(mask)[0]:
            for idx in mapping[word_id.item()]:
                new_labels[idx] = labels[idx]
                input_ids[idx] = tokenizer.mask_token_id
        feature["labels"] = new_labels
    return default_data_collator(features)


tokenized = Dataset.from_dict({"text": texts}).map(
    tokenize_function, batched=True, remove_columns=["text"]
)
chunks = tokenized.map(group_texts, batched=True).train_test_split(test_size=6, seed=42)
arguments = TrainingArguments(
    output_dir=out_path + ".trainer",
    eval_strategy="epoch",
    save_strategy="no",
    learning_rate=2e-3,
    weight_decay=0.01,
    per_device_train_batch_size=8,
    per_device_eval_batch_size=8,
    logging_steps=1,
    num_train_epochs=2,
    remove_unused_columns=False,
    use_cpu=True,
    report_to="none",
)
trainer = Trainer(
    model=model,
    args=arguments,
    train_dataset=chunks["train"],
    eval_dataset=chunks["test"],
    data_collator=whole_word_masking_data_collator,
    processing_class=tokenizer,
)
trainer.train()
perplexity = math.exp(trainer.evaluate()["eval_loss"])
history = trainer.state.log_history

data_collator = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm_probability=0.15)


def insert_random_mask(batch):
    features = [dict(zip(batch, t, strict=True)) for t in zip(*batch.values(), strict=True)]
    masked_inputs = data_collator(features)
    return {"masked_" + k: v.numpy() for k, v in masked_inputs.items()}


plain = chunks.remove_columns(["word_ids"])
eval_dataset = plain["test"].map(
    insert_random_mask, batched=True, remove_columns=plain["test"].column_names
)
eval_dataset = eval_dataset.rename_columns(
    {name: name.removeprefix("masked_") for name in eval_dataset.column_names}
)
model = AutoModelForMaskedLM.from_pretrained(model_path)
optimizer = AdamW(model.parameters(), lr=5e-4)
train_loader = DataLoader(
    plain["train"], shuffle=True, batch_size=8, collate_fn=data_collator, num_workers=2
)
eval_loader = DataLoader(eval_dataset, batch_size=8, collate_fn=default_data_collator)
accelerator = Accelerator(cpu=True)
model, optimizer, train_loader, eval_loader = accelerator.prepare(
    model, optimizer, train_loader, eval_loader
)
steps = 2 * len(train_loader)
scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=steps)
losses, perplexities = [], []
progress = tqdm(range(steps))
for _epoch in range(2):
    model.train()
    for batch in train_loader:
        outputs = model(**batch)
        accelerator.backward(outputs.loss)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        progress.update(1)
        losses.append(outputs.loss.item())
    model.eval()
    found = []
    for batch in eval_loader:
        with torch.no_grad():
            outputs = model(**batch)
        found.append(accelerator.gather(outputs.loss.repeat(8)))
    found = torch.cat(found)[: len(eval_dataset)]
    perplexities.append(torch.exp(found.mean(axis=0)).item())

record = {
    "losses": losses + [entry["loss"] for entry in history if "loss" in entry],
    "evaluated": [entry["eval_loss"] for entry in history if "eval_loss" in entry],
    "perplexities": [perplexity, *perplexities],
    "exact": [top_5_tokens, len(chunks["train"])],
}
with open(out_path, "w") as file:
    json.dump(record, file)
