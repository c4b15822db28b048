"""Prompt learning equals peft's: forward, gradients, files both ways, generated tokens."""

from __future__ import annotations

import numpy as np
import paddle
import peft
import pytest
import torch
from adapter_pairs import adapter_pair, check_exchange, inputs

CASES = {
    "prompt": ("PromptTuningConfig", {}),
    "vocabulary": ("PromptTuningConfig", {"prompt_tuning_init": "SAMPLE_VOCAB"}),
    "mlp": ("PromptEncoderConfig", {"encoder_hidden_size": 12}),
    "lstm": (
        "PromptEncoderConfig",
        {"encoder_reparameterization_type": "LSTM", "encoder_hidden_size": 12},
    ),
    "prefix": ("PrefixTuningConfig", {}),
    "projected": ("PrefixTuningConfig", {"prefix_projection": True, "encoder_hidden_size": 12}),
    "zero": ("PrefixTuningConfig", {"prefix_projection": True, "init_weights": "zero"}),
}


def pair_of(family, case, folder):
    config, kwargs = CASES[case]
    return adapter_pair(family, folder, config, False, num_virtual_tokens=4, **kwargs)


# Encoders take no keys and values from outside, here and in transformers 5.
FITTING = [
    (family, case)
    for case, (config, _) in CASES.items()
    for family in ("llama", "gpt2", "t5", "bert")
    if family != "bert" or config != "PrefixTuningConfig"
]


@pytest.mark.parametrize("family, case", FITTING)
def test_method(family, case, tmp_path):
    pair = pair_of(family, case, tmp_path / "base")
    theirs = {n: tuple(p.shape) for n, p in pair.theirs.prompt_encoder.named_parameters()}
    ours = {n: tuple(p.shape) for n, p in pair.ours.prompt_encoder.named_parameters()}
    assert set(ours.values()) == set(theirs.values())
    pair.check_forward()
    gradients(pair)
    check_exchange(pair, tmp_path)


def gradients(pair):
    """One backward pass: the gradient of the prompt's own table is the same."""
    batch = inputs(pair.name)
    pair.theirs(**{k: torch.from_numpy(v) for k, v in batch.items()}).loss.backward()
    pair.ours(**{k: paddle.to_tensor(v) for k, v in batch.items()}).loss.backward()
    theirs = pair.theirs.prompt_encoder["default"].embedding.weight.grad.numpy()
    ours = pair.ours.prompt_encoder["default"].embedding.weight.grad.numpy()
    assert np.abs(theirs).max() > 0 or pair.ours.active_peft_config.peft_type == "PREFIX_TUNING"
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    trained = {n for n, p in pair.ours.named_parameters() if not p.stop_gradient}
    heads = {n for n in trained if "modules_to_save" in n}
    assert all(n.startswith("prompt_encoder.default.") for n in trained - heads)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("case", ["prompt", "mlp", "prefix"])
@pytest.mark.parametrize("beams", [1, 2])
def test_generated_tokens(family, case, beams, tmp_path):
    pair = pair_of(family, case, tmp_path / "base")
    pair.ours.eval(), pair.theirs.eval()
    batch = inputs(family)
    ids, mask = batch["input_ids"][:, :6], batch["attention_mask"][:, :6].copy()
    if family != "t5":
        mask[0, :2] = 0
    settings = {"max_new_tokens": 5, "num_beams": beams, "do_sample": False}
    with torch.no_grad():
        want = pair.theirs.generate(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), **settings
        )
    got = pair.ours.generate(
        input_ids=paddle.to_tensor(ids), attention_mask=paddle.to_tensor(mask), **settings
    )
    assert got.numpy().tolist() == want.numpy().tolist()


def test_encoders_refuse_a_prefix(tmp_path):
    pair = pair_of("bert", "prefix", tmp_path / "base")
    ids = paddle.to_tensor(inputs("bert")["input_ids"])
    with pytest.raises(ValueError, match="does not support past key values"):
        pair.ours(input_ids=ids)


def test_disabled(tmp_path):
    pair = pair_of("llama", "prompt", tmp_path / "base")
    with pair.ours.disable_adapter(), pair.theirs.disable_adapter():
        pair.check_forward()
    pair.check_forward()


def test_prompt_from_text(tmp_path):
    from trainer_samples import write_bert_tokenizer

    folder = str(write_bert_tokenizer(tmp_path / "words"))
    text = {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "the cat sat on"}
    pair = adapter_pair(
        "llama", tmp_path / "base", "PromptTuningConfig", False, num_virtual_tokens=8,
        tokenizer_name_or_path=folder, **text,
    )  # fmt: skip
    pair.check_forward()
    assert isinstance(pair.theirs, peft.PeftModel)
