import paddle
import pytest
import torch
from harness import batch, check_causal_lm, close, load_ours, run_both
from safetensors.torch import load_file, save_file

SMALL = {
    "num_hidden_layers": 3,
    "moe_intermediate_size": 20,
    "moe_num_experts": 6,
    "moe_k": 2,
    "moe_num_shared_experts": 2,
}
VARIANTS = {
    "released": {},
    "biased": {"use_bias": True, "tie_word_embeddings": False, "moe_num_shared_experts": 0},
    # Sparse are the second and, beyond the range, not the fourth layer.
    "interval": {"num_hidden_layers": 4, "moe_layer_interval": 2, "moe_layer_end_index": 2},
    "floor": {"moe_norm_min": 0.8, "head_dim": 12},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_ernie4_5_moe(variant, tmp_path):
    check_causal_lm("ernie4_5_moe", tmp_path, **{**SMALL, **VARIANTS[variant]})


def test_ernie4_5_moe_router(tmp_path):
    """Router logits, and the balancing loss within the loss."""
    theirs, ours = check_causal_lm("ernie4_5_moe", tmp_path, **SMALL)
    ids, _ = batch()
    inputs = {"input_ids": ids[1:], "labels": ids[1:], "output_router_logits": True}
    got, want = run_both(theirs, ours, **inputs)
    assert list(got.keys()) == list(want.keys())
    close(got.aux_loss.reshape([1]), want.aux_loss.reshape(1), "aux_loss")
    close(got.loss.reshape([1]), want.loss.reshape(1), "loss")
    assert len(got.router_logits) == len(want.router_logits) == 2
    for a, b in zip(got.router_logits, want.router_logits, strict=True):
        close(a, b, "router logits")


def test_ernie4_5_moe_routers_stay_float32(tmp_path):
    """Loading in bfloat16 leaves the routers alone; layers for further tokens are dropped."""
    theirs, _ = check_causal_lm("ernie4_5_moe", tmp_path, **SMALL)
    path = tmp_path / "theirs" / "model.safetensors"
    save_file({**load_file(path), "model.mtp_block.0.x": torch.zeros(1)}, path, {"format": "pt"})
    ours = load_ours("AutoModelForCausalLM", tmp_path / "theirs", dtype="bfloat16")
    mlp, gate = ours.model.layers[1].mlp, theirs.model.layers[1].mlp.gate
    close(mlp.gate.weight, gate.weight, "router", 0.0)
    close(mlp.moe_statics.e_score_correction_bias, gate.moe_statics.e_score_correction_bias, "", 0)
    assert mlp.experts[0].up_proj.weight.dtype == paddle.bfloat16
