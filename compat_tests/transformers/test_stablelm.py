import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {},
    "parallel": {"use_parallel_residual": True, "use_qkv_bias": True},
    "normed": {
        "qk_layernorm": True,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 100.0,
            "partial_rotary_factor": 0.5,
        },
        "tie_word_embeddings": True,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stablelm(variant, tmp_path):
    check_causal_lm("stablelm", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
        "TokenClassification",
    ],
)
def test_stablelm_heads(head, tmp_path):
    check_head("stablelm", f"AutoModelFor{head}", tmp_path)
