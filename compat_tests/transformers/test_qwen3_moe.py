import pytest
from harness import check_causal_lm, check_head, check_router

SMALL = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
VARIANTS = {
    "released": {"head_dim": 8},
    "normalized": {"head_dim": 12, "norm_topk_prob": True, "attention_bias": True},
    "dense_first": {"mlp_only_layers": [0], "num_hidden_layers": 3},
    "every_second": {"decoder_sparse_step": 2},
    "window": {"use_sliding_window": True, "sliding_window": 5},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_qwen3_moe(variant, tmp_path):
    check_causal_lm("qwen3_moe", tmp_path, **{**SMALL, **VARIANTS[variant]})


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
        "TokenClassification",
        "QuestionAnswering",
    ],
)
def test_qwen3_moe_heads(head, tmp_path):
    check_head("qwen3_moe", f"AutoModelFor{head}", tmp_path, **SMALL)


def test_qwen3_moe_router(tmp_path):
    check_router("qwen3_moe", tmp_path, **SMALL)
