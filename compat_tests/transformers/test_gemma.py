import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "tied": {},
    "untied": {"tie_word_embeddings": False, "attention_bias": True, "hidden_act": "silu"},
    # Released configs say "gelu" and mean the tanh form.
    "old_act": {"hidden_act": "gelu", "num_key_value_heads": 1},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_gemma(variant, tmp_path):
    check_causal_lm("gemma", tmp_path, head_dim=12, **VARIANTS[variant])


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_gemma_heads(head, tmp_path):
    check_head("gemma", f"AutoModelFor{head}", tmp_path, head_dim=12)
