import pytest
from harness import check_causal_lm

VARIANTS = {
    "released": {},
    "normed": {"use_qk_norm": True, "logit_scale": 0.5, "tie_word_embeddings": False},
    "biased": {"attention_bias": True, "layer_norm_eps": 0.001},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_cohere(variant, tmp_path):
    check_causal_lm("cohere", tmp_path, **VARIANTS[variant])
