import numpy as np
import paddle
import pytest
import torch
import transformers
from harness import TINY, batch, check_causal_lm, check_head, close, load_ours, run_both
from safetensors.torch import load_file, save_file

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.gpt2 import GPT2LMHeadModel

VARIANTS = {
    "default": {},
    "scales": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
    "upcast": {"reorder_and_upcast_attn": True, "n_inner": 40, "activation_function": "relu"},
    "untied": {"tie_word_embeddings": False, "layer_norm_epsilon": 1e-3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_gpt2(variant, tmp_path):
    theirs, ours = check_causal_lm("gpt2", tmp_path, **VARIANTS[variant])
    ids, mask = batch()
    types = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 3}
    got, want = run_both(theirs, ours, **types)
    close(got.logits[1:], want.logits[1:], "logits with token types")


def test_gpt2_old_checkpoint(tmp_path):
    """Names without prefix, and masks kept as buffers, as the first checkpoints have them."""
    theirs, _ = check_causal_lm("gpt2", tmp_path)
    path = tmp_path / "theirs" / "model.safetensors"
    old = {k.removeprefix("transformer."): v for k, v in load_file(path).items()}
    for i in range(2):
        old[f"h.{i}.attn.bias"] = torch.ones(1, 1, 128, 128)
        old[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(old, path, {"format": "pt"})
    ours = load_ours("AutoModelForCausalLM", tmp_path / "theirs")
    got, want = run_both(theirs, ours, input_ids=batch()[0])
    close(got.logits, want.logits, "logits")


def test_gpt2_refuses_cross_attention():
    config = transformers.GPT2Config(**TINY, add_cross_attention=True)
    with pytest.raises(UnsupportedConfigError, match="add_cross_attention"):
        GPT2LMHeadModel(config)


def test_gpt2_initial_weights():
    """Residual projections begin smaller, by the square root of twice the depth."""
    model = GPT2LMHeadModel(transformers.GPT2Config(**TINY))
    std = [float(paddle.std(p)) for n, p in model.named_parameters() if "c_proj.weight" in n]
    np.testing.assert_allclose(std, 0.02 / np.sqrt(4), rtol=0.1)


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_gpt2_heads(head, tmp_path):
    check_head("gpt2", f"AutoModelFor{head}", tmp_path)
