import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {"tie_word_embeddings": True},
    "window": {
        "sliding_window": 5,
        "use_bias": False,
        "tie_word_embeddings": False,
        "hidden_act": "relu",
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_starcoder2(variant, tmp_path):
    check_causal_lm("starcoder2", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
        "TokenClassification",
    ],
)
def test_starcoder2_heads(head, tmp_path):
    check_head("starcoder2", f"AutoModelFor{head}", tmp_path)
