import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {},
    "qk_layernorm": {"qk_layernorm": True, "tie_word_embeddings": True, "hidden_act": "gelu"},
    "mostly_rotary": {"partial_rotary_factor": 0.75, "num_key_value_heads": None},
    "scaled": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "layer_norm_eps": 1e-3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_phi(variant, tmp_path):
    check_causal_lm("phi", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_phi_heads(head, tmp_path):
    check_head("phi", f"AutoModelFor{head}", tmp_path)
