"""A training run that may be killed at any moment and started again.

``python crash_script.py FOLDER OUTPUT`` trains on FOLDER's ``llama``, going on from OUTPUT's last
checkpoint if there is one, and at the end writes ``done.npz``: losses and weights. Dropout, masks
drawn at random, clipping and accumulation all draw on what a checkpoint must keep.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


class Noisy:
    """A collator that hides tokens at random from each of the streams a run has."""

    def __init__(self, collator):
        self.collator = collator

    def __call__(self, features):
        import random

        batch = self.collator(features)
        ids = batch["input_ids"].numpy().copy()
        hidden = np.random.rand(*ids.shape) < 0.1
        ids[hidden] = random.randrange(5, 20)
        batch["input_ids"] = type(batch["input_ids"])(ids)
        return batch


def main(folder: Path, output: Path) -> None:
    from run_training import Examples
    from transformers.trainer_utils import get_last_checkpoint

    import hfpaddle.transformers as hf

    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "bert-masked")
    model = hf.AutoModelForMaskedLM.from_pretrained(
        folder / "bert-masked", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2
    )
    args = hf.TrainingArguments(
        str(output),
        num_train_epochs=3,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=2,
        logging_steps=2,
        eval_strategy="epoch",
        save_steps=1,
        save_total_limit=3,
        use_cpu=True,
        disable_tqdm=True,
        seed=7,
    )
    collator = hf.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.3)
    trainer = hf.Trainer(
        model=model,
        args=args,
        data_collator=Noisy(collator),
        train_dataset=Examples(tokenizer, 42, 0),
        eval_dataset=Examples(tokenizer, 6, 1),
    )
    resumable = output.exists() and get_last_checkpoint(str(output)) is not None
    trainer.train(resume_from_checkpoint=resumable)
    losses = [
        [e["step"], e.get("loss", e.get("eval_loss"))] for e in trainer.state.log_history[:-1]
    ]
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    np.savez(output / "done.npz", losses=np.array(losses, dtype=np.float64), **weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
