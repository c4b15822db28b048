import pytest
from harness import check_causal_lm, check_head

VARIANTS = {
    "released": {},
    "tied": {"tie_word_embeddings": True, "rms_norm_eps": 0.001},
    "window": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_qwen2(variant, tmp_path):
    check_causal_lm("qwen2", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
        "TokenClassification",
        "QuestionAnswering",
    ],
)
def test_qwen2_heads(head, tmp_path):
    check_head("qwen2", f"AutoModelFor{head}", tmp_path)
