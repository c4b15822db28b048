import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {"head_dim": 8},
    "unbiased": {"attention_bias": False, "tie_word_embeddings": True, "head_dim": 12},
    "fully_rotary": {"partial_rotary_factor": 1.0, "head_dim": 6, "rms_norm_eps": 1e-3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_glm4(variant, tmp_path):
    check_causal_lm("glm4", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_glm4_heads(head, tmp_path):
    check_head("glm4", f"AutoModelFor{head}", tmp_path, head_dim=8)
