import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {"head_dim": 8},
    "unbiased": {"attention_bias": False, "tie_word_embeddings": True, "head_dim": 12},
    "fully_rotary": {"partial_rotary_factor": 1.0, "head_dim": 6, "hidden_act": "gelu"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_glm(variant, tmp_path):
    check_causal_lm("glm", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_glm_heads(head, tmp_path):
    check_head("glm", f"AutoModelFor{head}", tmp_path, head_dim=8)
