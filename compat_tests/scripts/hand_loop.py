"""Fine-tune a classifier with a loop of one's own: DataLoader, AdamW, get_scheduler, clipping."""

import json
import sys

import torch
from torch.optim import AdamW
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    get_scheduler,
    set_seed,
)

model_path, data_path, out_path = sys.argv[1:4]


class Pairs(Dataset):
    def __init__(self, rows, tokenizer):
        self.rows = rows
        self.tokenizer = tokenizer

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        item = self.tokenizer(row["sentence1"], row["sentence2"], truncation=True, max_length=48)
        item["labels"] = row["label"]
        return item


set_seed(7)
device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
tokenizer = AutoTokenizer.from_pretrained(model_path)
model = AutoModelForSequenceClassification.from_pretrained(model_path, num_labels=2)
model.to(device)
model.gradient_checkpointing_enable()

with open(data_path) as file:
    rows = json.load(file)
collate = DataCollatorWithPadding(tokenizer, return_tensors="pt")
train_loader = DataLoader(Pairs(rows[:20], tokenizer), 4, shuffle=True, collate_fn=collate)
eval_loader = DataLoader(Pairs(rows[20:], tokenizer), batch_size=4, collate_fn=collate)

no_decay = ["bias", "LayerNorm.weight"]
groups = [
    {
        "params": [p for n, p in model.named_parameters() if not any(nd in n for nd in no_decay)],
        "weight_decay": 0.01,
    },
    {
        "params": [p for n, p in model.named_parameters() if any(nd in n for nd in no_decay)],
        "weight_decay": 0.0,
    },
]
optimizer = AdamW(groups, lr=1e-3)
epochs = 2
steps = epochs * len(train_loader)
scheduler = get_scheduler("linear", optimizer, num_warmup_steps=2, num_training_steps=steps)

losses, norms, accuracies = [], [], []
progress = tqdm(range(steps))
for _epoch in range(epochs):
    model.train()
    for batch in train_loader:
        batch = {k: v.to(device) for k, v in batch.items()}
        outputs = model(**batch)
        loss = outputs.loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        progress.update(1)
        losses.append(loss.item())
        norms.append(norm.item())
    model.eval()
    right, total = 0, 0
    for batch in eval_loader:
        batch = {k: v.to(device) for k, v in batch.items()}
        with torch.no_grad():
            logits = model(**batch).logits
        right += (logits.argmax(dim=-1) == batch["labels"]).sum().item()
        total += batch["labels"].size(0)
    accuracies.append(right / total)

torch.save(model.state_dict(), out_path + ".pt")
model.load_state_dict(torch.load(out_path + ".pt"))
with torch.inference_mode():
    encoded = tokenizer("The cat sleeps.", "It is said: The cat sleeps.", return_tensors="pt")
    scores = torch.softmax(model(**encoded.to(device)).logits, dim=-1)[0].tolist()
with open(out_path, "w") as file:
    json.dump({"losses": losses, "norms": norms, "exact": accuracies, "scores": scores}, file)
