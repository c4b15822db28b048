import pytest
from harness import check_causal_lm, check_head, check_router

SMALL = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 40,
}
VARIANTS = {
    "released": {},
    "normalized": {"norm_topk_prob": True, "qkv_bias": False},
    "dense_first": {"mlp_only_layers": [0], "num_hidden_layers": 3},
    "every_second": {"decoder_sparse_step": 2},
    "window": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_qwen2_moe(variant, tmp_path):
    check_causal_lm("qwen2_moe", tmp_path, **{**SMALL, **VARIANTS[variant]})


@pytest.mark.parametrize(
    "head",
    [
        "SequenceClassification",
        "TokenClassification",
        "QuestionAnswering",
    ],
)
def test_qwen2_moe_heads(head, tmp_path):
    check_head("qwen2_moe", f"AutoModelFor{head}", tmp_path, **SMALL)


def test_qwen2_moe_router(tmp_path):
    check_router("qwen2_moe", tmp_path, **SMALL)
