import pytest
from harness import check_causal_lm, check_head

ROPE = {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0, "partial_rotary_factor": 0.5}
VARIANTS = {
    "parallel": {},
    "serial": {"use_parallel_residual": False, "hidden_act": "relu", "layer_norm_eps": 1e-3},
    "rope": {"rope_parameters": ROPE, "attention_bias": False},
    "tied": {"tie_word_embeddings": True, "rotary_pct": 1.0, "classifier_dropout": 0.3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_gpt_neox(variant, tmp_path):
    check_causal_lm("gpt_neox", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_gpt_neox_heads(head, tmp_path):
    check_head("gpt_neox", f"AutoModelFor{head}", tmp_path)
