import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {},
    "biased": {"attention_bias": True, "tie_word_embeddings": True, "rms_norm_eps": 0.001},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_olmo2(variant, tmp_path):
    check_causal_lm("olmo2", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
    ],
)
def test_olmo2_heads(head, tmp_path):
    check_head("olmo2", f"AutoModelFor{head}", tmp_path)
