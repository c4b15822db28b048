import numpy as np
import paddle
import pytest
import torch
from harness import check_causal_lm, check_head, generate_both

# As released: Phi-3-mini-128k keeps the trained length beside its scaling, without a factor;
# Phi-4-mini rotates three quarters of each head and ties.
LONG = {"long_factor": [1.5, 2.0, 3.0, 4.0], "short_factor": [1.0, 1.1, 1.2, 1.3]}
VARIANTS = {
    "mini_4k": {"sliding_window": 5, "num_key_value_heads": None},
    "mini_128k": {
        "max_position_embeddings": 64,
        "original_max_position_embeddings": 32,
        "rope_theta": 100.0,
        "rope_scaling": {"type": "longrope", **LONG},
    },
    "phi4_mini": {
        "max_position_embeddings": 64,
        "original_max_position_embeddings": 8,
        "partial_rotary_factor": 0.75,
        "tie_word_embeddings": True,
        "rope_scaling": {"type": "longrope", **{k: v[:3] for k, v in LONG.items()}},
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_phi3(variant, tmp_path):
    check_causal_lm("phi3", tmp_path, cached=variant != "phi4_mini", **VARIANTS[variant])


def test_phi3_switches_while_generating(tmp_path):
    """From the 17th token on the long factors hold, for the tokens already cached too."""
    overrides = {**VARIANTS["mini_128k"], "original_max_position_embeddings": 16}
    theirs, ours = check_causal_lm("phi3", tmp_path, **overrides)
    got, want = generate_both(theirs, ours, 99, max_new_tokens=12, do_sample=False, eos_token_id=-1)
    assert got == want and len(got[0]) > 16
    ids = np.asarray(got)[1:]
    with paddle.no_grad():
        whole = ours(input_ids=paddle.to_tensor(ids)).logits.numpy()
    assert np.array_equal(whole[0, 16:-1].argmax(-1), ids[0, 17:])
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_phi3_heads(head, tmp_path):
    check_head("phi3", f"AutoModelFor{head}", tmp_path)
