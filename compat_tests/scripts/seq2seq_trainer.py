"""Fine-tune an encoder-decoder with Seq2SeqTrainer, generating for the metrics."""

import json
import sys

import numpy as np
from datasets import Dataset, DatasetDict
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)

model_path, data_path, out_path = sys.argv[1:4]
set_seed(5)
tokenizer = AutoTokenizer.from_pretrained(model_path)
model = AutoModelForSeq2SeqLM.from_pretrained(model_path)

with open(data_path) as file:
    rows = json.load(file)
raw = DatasetDict({"train": Dataset.from_list(rows[:16]), "test": Dataset.from_list(rows[16:22])})


def preprocess(examples):
    sources = ["continue: " + text for text in examples["sentence1"]]
    encoded = tokenizer(sources, max_length=32, truncation=True)
    targets = tokenizer(text_target=examples["sentence2"], max_length=24, truncation=True)
    encoded["labels"] = targets["input_ids"]
    return encoded


data = raw.map(preprocess, batched=True, remove_columns=raw["train"].column_names)
collator = DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=-100)
decoded = {}


def compute_metrics(prediction):
    predictions, labels = prediction
    predictions = np.where(predictions != -100, predictions, tokenizer.pad_token_id)
    labels = np.where(labels != -100, labels, tokenizer.pad_token_id)
    decoded["texts"] = tokenizer.batch_decode(predictions, skip_special_tokens=True)
    wanted = tokenizer.batch_decode(labels, skip_special_tokens=True)
    same = [a.strip() == b.strip() for a, b in zip(decoded["texts"], wanted, strict=True)]
    lengths = [np.count_nonzero(row != tokenizer.pad_token_id) for row in predictions]
    return {"same": float(np.mean(same)), "gen_len": float(np.mean(lengths))}


arguments = Seq2SeqTrainingArguments(
    output_dir=out_path + ".trainer",
    eval_strategy="epoch",
    save_strategy="no",
    learning_rate=5e-3,
    per_device_train_batch_size=4,
    per_device_eval_batch_size=3,
    num_train_epochs=3,
    lr_scheduler_type="cosine",
    label_smoothing_factor=0.1,
    gradient_checkpointing=True,
    predict_with_generate=True,
    generation_max_length=16,
    generation_num_beams=2,
    logging_steps=1,
    use_cpu=True,
    report_to=[],
)
trainer = Seq2SeqTrainer(
    model=model,
    args=arguments,
    train_dataset=data["train"],
    eval_dataset=data["test"],
    data_collator=collator,
    processing_class=tokenizer,
    compute_metrics=compute_metrics,
)
trainer.train()
metrics = trainer.evaluate(max_length=20, num_beams=1)

history = trainer.state.log_history
record = {
    "losses": [entry["loss"] for entry in history if "loss" in entry],
    "norms": [entry["grad_norm"] for entry in history if "grad_norm" in entry],
    "evaluated": [entry["eval_loss"] for entry in history if "eval_loss" in entry],
    "exact": [decoded["texts"], metrics["eval_gen_len"], metrics["eval_same"]],
}
with open(out_path, "w") as file:
    json.dump(record, file)
