import pytest
from harness import check_causal_lm

VARIANTS = {
    "released": {"head_dim": 12},
    "biased": {"use_bias": True, "tie_word_embeddings": False, "head_dim": None},
    "scaled": {"rope_parameters": {"rope_type": "linear", "rope_theta": 99.0, "factor": 2.0}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_ernie4_5(variant, tmp_path):
    check_causal_lm("ernie4_5", tmp_path, **VARIANTS[variant])
