import paddle
import pytest
import torch
from harness import batch, check_causal_lm, check_head, close, load_ours, run_both
from safetensors.torch import load_file, save_file

VARIANTS = {
    "default": {},
    "350m": {"do_layer_norm_before": False, "word_embed_proj_dim": 24},
    "galactica": {"enable_bias": False, "activation_function": "gelu", "dropout": 0.2},
    "plain norms": {"layer_norm_elementwise_affine": False, "word_embed_proj_dim": 24},
    "no final norm": {"_remove_final_layer_norm": True, "tie_word_embeddings": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_opt(variant, tmp_path):
    check_causal_lm("opt", tmp_path, ffn_dim=48, **VARIANTS[variant])


def test_opt_old_checkpoint(tmp_path):
    """Names without prefix, and positions for a mask whose holes are in the middle."""
    theirs, _ = check_causal_lm("opt", tmp_path, ffn_dim=48)
    path = tmp_path / "theirs" / "model.safetensors"
    old = {k.removeprefix("model."): v for k, v in load_file(path).items()}
    save_file(old, path, {"format": "pt"})
    ours = load_ours("AutoModelForCausalLM", tmp_path / "theirs")
    ids, mask = batch()
    mask[1, 3:5] = 0
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask)
    real = mask > 0
    close(paddle.to_tensor(got.logits.numpy()[real]), want.logits[torch.tensor(real)], "logits")


@pytest.mark.parametrize("head", ["SequenceClassification", "QuestionAnswering"])
def test_opt_heads(head, tmp_path):
    check_head("opt", f"AutoModelFor{head}", tmp_path, ffn_dim=48, word_embed_proj_dim=24)
