import pytest
import transformers
from harness import TINY, batch, check_causal_lm, check_head, close, run_both

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.deepseek_v3 import DeepseekV3Model

SMALL = {
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "q_lora_rank": 14,
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 7,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 20,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
}
VARIANTS = {
    # As released: YaRN whose factors on scores and on cos and sin differ.
    "yarn": {
        "rope_theta": 100.0,
        "rope_scaling": {
            "type": "yarn",
            "factor": 4.0,
            "beta_fast": 32,
            "beta_slow": 1,
            "mscale": 0.7,
            "mscale_all_dim": 1.3,
            "original_max_position_embeddings": 8,
        },
    },
    "plain_queries": {"q_lora_rank": None, "rope_interleave": False, "norm_topk_prob": False},
    "all_sparse": {
        "first_k_dense_replace": 0,
        "n_shared_experts": 2,
        "attention_bias": True,
        "tie_word_embeddings": True,
        "routed_scaling_factor": 1.5,
    },
    "all_dense": {"first_k_dense_replace": 3, "rms_norm_eps": 1e-3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_deepseek_v3(variant, tmp_path):
    check_causal_lm("deepseek_v3", tmp_path, **{**SMALL, **VARIANTS[variant]})


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_deepseek_v3_heads(head, tmp_path):
    check_head("deepseek_v3", f"AutoModelFor{head}", tmp_path, **SMALL)


def test_deepseek_v3_router_logits(tmp_path):
    theirs, ours = check_causal_lm("deepseek_v3", tmp_path, **SMALL, output_router_logits=True)
    ids, _ = batch()
    got, want = run_both(theirs, ours, input_ids=ids[1:], labels=ids[1:])
    assert list(got.keys()) == list(want.keys())
    close(got.loss.reshape([1]), want.loss.reshape(1), "loss")
    assert len(got.router_logits) == len(want.router_logits) == 2
    for a, b in zip(got.router_logits, want.router_logits, strict=True):
        close(a, b, "router logits")


@pytest.mark.parametrize("key", ["num_key_value_heads", "num_hidden_layers"])
def test_deepseek_v3_refuses(key):
    config = transformers.DeepseekV3Config(**{**TINY, **SMALL})
    setattr(config, key, {"num_key_value_heads": 2, "num_hidden_layers": 62}[key])
    with pytest.raises(UnsupportedConfigError, match=key):
        DeepseekV3Model(config)


def test_deepseek_v3_second_token_layer_is_dropped():
    """Released checkpoints hold a 62nd layer, which the original ignores too."""
    key_map = DeepseekV3Model.key_map
    assert key_map.to_ours("model.layers.61.eh_proj.weight") is None
    assert key_map.to_ours("model.layers.6.mlp.gate.weight") == "model.layers.6.mlp.gate.weight"
