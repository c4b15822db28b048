import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "default": {},
    "350m": {"do_layer_norm_before": False, "word_embed_proj_dim": 24},
    "galactica": {"enable_bias": False, "activation_function": "gelu", "dropout": 0.2},
    "plain norms": {"layer_norm_elementwise_affine": False, "word_embed_proj_dim": 24},
    "no final norm": {"_remove_final_layer_norm": True, "tie_word_embeddings": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_opt(variant, tmp_path):
    check_causal_lm("opt", tmp_path, ffn_dim=48, **VARIANTS[variant])


@pytest.mark.parametrize("head", ["SequenceClassification", "QuestionAnswering"])
def test_opt_heads(head, tmp_path):
    check_head("opt", f"AutoModelFor{head}", tmp_path, ffn_dim=48, word_embed_proj_dim=24)
