"""Fine-tune a classifier with Trainer: compute_metrics, evaluation each epoch, the best model."""

import json
import sys

import numpy as np
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

model_path, data_path, out_path = sys.argv[1:4]
tokenizer = AutoTokenizer.from_pretrained(model_path)


def tokenize(examples):
    return tokenizer(examples["sentence1"], examples["sentence2"], truncation=True, max_length=48)


def compute_metrics(prediction):
    logits, labels = prediction
    predictions = np.argmax(logits, axis=-1)
    right = predictions == labels
    return {"accuracy": float(right.mean()), "logit": float(logits[0, 0])}


def model_init():
    return AutoModelForSequenceClassification.from_pretrained(model_path, num_labels=2)


with open(data_path) as file:
    rows = Dataset.from_list(json.load(file))
split = rows.map(tokenize, batched=True).train_test_split(test_size=8, seed=3)
arguments = TrainingArguments(
    output_dir=out_path + ".trainer",
    eval_strategy="epoch",
    save_strategy="epoch",
    load_best_model_at_end=True,
    metric_for_best_model="loss",
    learning_rate=1e-3,
    per_device_train_batch_size=4,
    per_device_eval_batch_size=4,
    num_train_epochs=3,
    weight_decay=0.01,
    warmup_steps=2,
    logging_steps=1,
    save_total_limit=1,
    use_cpu=True,
    report_to="none",
)
trainer = Trainer(
    model_init=model_init,
    args=arguments,
    train_dataset=split["train"],
    eval_dataset=split["test"],
    processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=compute_metrics,
)
trainer.train()
final = trainer.evaluate()
predicted = trainer.predict(split["test"])

history = trainer.state.log_history
record = {
    "losses": [entry["loss"] for entry in history if "loss" in entry],
    "norms": [entry["grad_norm"] for entry in history if "grad_norm" in entry],
    "evaluated": [entry["eval_loss"] for entry in history if "eval_loss" in entry],
    "rates": [entry["learning_rate"] for entry in history if "learning_rate" in entry],
    "scores": [final["eval_loss"], final["eval_logit"], predicted.metrics["test_loss"]],
    "exact": [final["eval_accuracy"], trainer.state.best_global_step, len(history)],
    "predictions": predicted.predictions.ravel().tolist(),
}
with open(out_path, "w") as file:
    json.dump(record, file)
