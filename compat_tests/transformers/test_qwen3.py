import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {"head_dim": 8},
    "biased": {"head_dim": 12, "attention_bias": True, "tie_word_embeddings": True},
    "window": {
        "head_dim": 8,
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 1,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_qwen3(variant, tmp_path):
    check_causal_lm("qwen3", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
        "TokenClassification",
        "QuestionAnswering",
    ],
)
def test_qwen3_heads(head, tmp_path):
    check_head("qwen3", f"AutoModelFor{head}", tmp_path)
