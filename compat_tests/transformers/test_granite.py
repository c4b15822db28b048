import pytest
from harness import check_causal_lm

VARIANTS = {
    "plain": {},
    "scaled": {
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.5,
        "residual_multiplier": 0.4,
        "attention_multiplier": 0.2,
    },
    "biased": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_granite(variant, tmp_path):
    check_causal_lm("granite", tmp_path, **VARIANTS[variant])
