"""Training on flattened batches gives the losses, norms and weights of padded ones."""

import numpy as np
import paddle
import pytest
import transformers

import hfpaddle.transformers as hf

pytestmark = pytest.mark.unit

SIZES = {"vocab_size": 61, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDTHS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
FAMILIES = {
    "mistral": transformers.MistralConfig(
        **SIZES, **WIDTHS, num_attention_heads=4, num_key_value_heads=2, sliding_window=3
    ),
    "gpt2": transformers.GPT2Config(
        **SIZES, n_embd=32, n_layer=2, n_head=4, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
    ),
    "bloom": transformers.BloomConfig(**SIZES, hidden_size=32, n_layer=2, n_head=4),
}
COLLATORS = {
    "positions": {},
    "bounds": {"return_position_ids": False, "return_flash_attn_kwargs": True},
    "numbers": {"return_position_ids": False, "return_seq_idx": True},
    "all": {"return_flash_attn_kwargs": True, "return_seq_idx": True},
}


def examples() -> list[dict]:
    random = np.random.default_rng(0)
    rows = [random.integers(3, 61, int(random.integers(2, 14))).tolist() for _ in range(20)]
    return [{"input_ids": row} for row in rows]


class Padded:
    """Rows padded to the longest; -100 where there is no token."""

    def __call__(self, features):
        ids = [np.asarray(f["input_ids"]) for f in features]
        width = max(len(row) for row in ids)

        def joined(rows, value):
            filled = [np.pad(row, (0, width - len(row)), constant_values=value) for row in rows]
            return paddle.to_tensor(np.stack(filled))

        ones = [np.ones_like(row) for row in ids]
        # No token predicts the first one; some models' trainers would count it all the same.
        labels = [np.concatenate([[-100], row[1:]]) for row in ids]
        return {
            "input_ids": joined(ids, 0),
            "attention_mask": joined(ones, 0),
            "labels": joined(labels, -100),
        }


def trained(family: str, collator, folder, **settings) -> tuple[list[dict], dict]:
    hf.set_seed(1)
    model = hf.AutoModelForCausalLM.from_config(FAMILIES[family])
    arguments = hf.TrainingArguments(
        str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=5e-3,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=7,
        **settings,
    )
    trainer = hf.Trainer(
        model=model, args=arguments, data_collator=collator, train_dataset=examples()
    )
    trainer.train()
    logged = [e for e in trainer.state.log_history if "loss" in e]
    return logged, {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("family", "collator"),
    [("mistral", c) for c in COLLATORS]
    + [("gpt2", "positions"), ("gpt2", "bounds"), ("bloom", "all")],
)
def test_flattened_is_padded(family, collator, tmp_path):
    want, weights = trained(family, Padded(), tmp_path)
    flattening = hf.DataCollatorWithFlattening(**COLLATORS[collator])
    got, packed = trained(family, flattening, tmp_path)
    assert len(want) == len(got) == 6
    for expected, actual in zip(want, got, strict=True):
        assert actual["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert actual["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
    for name, value in weights.items():
        np.testing.assert_allclose(packed[name], value, atol=2e-4, err_msg=name)


def test_evaluation_of_flattened_batches(tmp_path):
    """One row of logits a batch; the loss is the mean over batches, as for padded ones."""
    model = hf.AutoModelForCausalLM.from_config(FAMILIES["mistral"])
    losses = []
    for collator in (Padded(), hf.DataCollatorWithFlattening(return_flash_attn_kwargs=True)):
        arguments = hf.TrainingArguments(
            str(tmp_path), per_device_eval_batch_size=20, report_to="none", disable_tqdm=True
        )
        trainer = hf.Trainer(
            model=model, args=arguments, data_collator=collator, eval_dataset=examples()
        )
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
