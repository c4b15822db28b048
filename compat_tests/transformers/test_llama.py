import pytest
from harness import check_causal_lm, check_head

ROPE = {
    "default": {},
    "linear": {"factor": 3.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 8},
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    "longrope": {
        "long_factor": [1.5, 2.0, 3.0, 4.0],
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "original_max_position_embeddings": 8,
        "factor": 4.0,
    },
}


@pytest.mark.parametrize("kind", ROPE)
def test_llama(kind, tmp_path):
    # 16 positions, so that dynamic scaling and longrope switch during generation.
    check_causal_lm(
        "llama",
        tmp_path,
        cached=kind != "longrope",
        max_position_embeddings=16,
        rope_parameters={"rope_type": kind, "rope_theta": 100.0, **ROPE[kind]},
    )


@pytest.mark.parametrize("bias", [True, False])
def test_llama_bias_and_tie(bias, tmp_path):
    check_causal_lm(
        "llama", tmp_path, attention_bias=bias, mlp_bias=bias, tie_word_embeddings=bias, head_dim=12
    )


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_llama_heads(head, tmp_path):
    check_head("llama", f"AutoModelFor{head}", tmp_path)
