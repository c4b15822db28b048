"""Instructions fine-tuned with OLoRA as users do it with the Trainer; nothing knows of Paddle.

``python script_alpaca.py MODEL DATA OUT``
"""

import sys

import torch
import transformers
from datasets import load_dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

folder, data, out = sys.argv[1:]
set_seed(42)
settings = {"dtype": getattr(torch, "float32"), "device_map": "cpu"}  # noqa: B009
model = AutoModelForCausalLM.from_pretrained(folder, **settings)
tokenizer = AutoTokenizer.from_pretrained(folder)
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token


def tokenize(row):
    text = f"Task: {row['instruction']}\n{row['input']}\nAnswer: {row['output']}"
    made = tokenizer(text, truncation=True, max_length=96, padding=False, return_tensors=None)
    if made["input_ids"][-1] != tokenizer.eos_token_id and len(made["input_ids"]) < 96:
        made["input_ids"].append(tokenizer.eos_token_id)
        made["attention_mask"].append(1)
    made["labels"] = made["input_ids"].copy()
    return made


config = LoraConfig(
    r=8, lora_alpha=16, target_modules=None, lora_dropout=0.05, bias="none",
    task_type="CAUSAL_LM", init_lora_weights="olora",
)  # fmt: skip
model = get_peft_model(model, config)
model.print_trainable_parameters()
parts = load_dataset(data)["train"].train_test_split(test_size=4, shuffle=True, seed=42)
trainer = transformers.Trainer(
    model=model,
    train_dataset=parts["train"].shuffle(seed=1).map(tokenize),
    eval_dataset=parts["test"].shuffle(seed=1).map(tokenize),
    args=transformers.TrainingArguments(
        per_device_train_batch_size=4,
        warmup_steps=2,
        num_train_epochs=1,
        learning_rate=3e-3,
        logging_steps=1,
        optim="adamw_torch",
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=3,
        save_steps=3,
        output_dir=out,
        save_total_limit=3,
        load_best_model_at_end=True,
        report_to="none",
    ),  # fmt: skip
    data_collator=transformers.DataCollatorForSeq2Seq(
        tokenizer, pad_to_multiple_of=8, return_tensors="pt", padding=True
    ),
)
trainer.train()
for entry in trainer.state.log_history:
    print({name: f"{entry[name]:.4f}" for name in ("loss", "eval_loss") if name in entry})
model.save_pretrained(out)

# What is saved belongs to the base weights as OLoRA left them.
base = AutoModelForCausalLM.from_pretrained(folder, **settings)
again = PeftModel.from_pretrained(base, out)
print(type(again).__name__, len(again.state_dict()))
