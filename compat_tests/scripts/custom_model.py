"""A module of one's own around a pretrained encoder, trained with a loss of one's own."""

import json
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import Dataset
from transformers import (
    AutoModel,
    AutoTokenizer,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.modeling_outputs import SequenceClassifierOutput

model_path, data_path, out_path = sys.argv[1:4]
set_seed(42)
tokenizer = AutoTokenizer.from_pretrained(model_path)


class TextDataset(Dataset):
    def __init__(self, rows):
        texts = [row["sentence2"] for row in rows]
        self.encodings = tokenizer(texts, truncation=True, padding=True, max_length=32)
        self.labels = [row["label"] for row in rows]

    def __getitem__(self, idx):
        item = {key: torch.tensor(val[idx]) for key, val in self.encodings.items()}
        item["labels"] = torch.tensor(self.labels[idx])
        return item

    def __len__(self):
        return len(self.labels)


class MeanPoolClassifier(nn.Module):
    def __init__(self, name, num_labels):
        super().__init__()
        self.num_labels = num_labels
        self.encoder = AutoModel.from_pretrained(name)
        self.dropout = nn.Dropout(0.1)
        size = self.encoder.config.hidden_size
        self.head = nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, num_labels))
        nn.init.xavier_uniform_(self.head[0].weight)
        nn.init.zeros_(self.head[0].bias)

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None):
        outputs = self.encoder(input_ids, attention_mask=attention_mask)
        hidden = outputs.last_hidden_state
        mask = attention_mask.unsqueeze(-1).expand(hidden.size()).float()
        pooled = torch.sum(hidden * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)
        logits = self.head(self.dropout(pooled))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.view(-1, self.num_labels), labels.view(-1))
        return SequenceClassifierOutput(loss=loss, logits=logits)


class WeightedTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits = outputs.get("logits")
        weight = torch.tensor([1.0, 2.0], device=logits.device)
        loss = nn.CrossEntropyLoss(weight=weight)(logits.view(-1, 2), labels.view(-1))
        return (loss, outputs) if return_outputs else loss


class Recorder(TrainerCallback):
    def __init__(self):
        self.losses = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_local_process_zero and "loss" in logs:
            self.losses.append(logs["loss"])


with open(data_path) as file:
    rows = json.load(file)
model = MeanPoolClassifier(model_path, 2)
for parameter in model.encoder.embeddings.parameters():
    parameter.requires_grad = False
trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
recorder = Recorder()
arguments = TrainingArguments(
    output_dir=out_path + ".trainer",
    num_train_epochs=3,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    learning_rate=1e-3,
    logging_steps=1,
    eval_strategy="epoch",
    save_strategy="epoch",
    load_best_model_at_end=True,
    dataloader_num_workers=1,
    use_cpu=True,
    report_to="none",
)
trainer = WeightedTrainer(
    model=model,
    args=arguments,
    train_dataset=TextDataset(rows[:20]),
    eval_dataset=TextDataset(rows[20:]),
    callbacks=[recorder, EarlyStoppingCallback(early_stopping_patience=3)],
)
result = trainer.train()
predictions = trainer.predict(trainer.eval_dataset).predictions
probabilities = F.softmax(torch.from_numpy(predictions), dim=-1)
record = {
    "losses": recorder.losses,
    "evaluated": [h["eval_loss"] for h in trainer.state.log_history if "eval_loss" in h],
    "scores": [result.training_loss, *probabilities[:, 1].tolist()],
    "exact": [trainable, result.global_step, probabilities.argmax(dim=1).tolist()],
}
with open(out_path, "w") as file:
    json.dump(record, file)
