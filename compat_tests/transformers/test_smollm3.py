import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {"num_hidden_layers": 4},
    "no_rope": {"no_rope_layers": [0, 1], "tie_word_embeddings": False},
    "window": {
        "use_sliding_window": True,
        "sliding_window": 5,
        "no_rope_layers": [1, 0],
        "attention_bias": True,
        "mlp_bias": True,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_smollm3(variant, tmp_path):
    check_causal_lm("smollm3", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
        "TokenClassification",
        "QuestionAnswering",
    ],
)
def test_smollm3_heads(head, tmp_path):
    check_head("smollm3", f"AutoModelFor{head}", tmp_path)
