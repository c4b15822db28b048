import numpy as np
import paddle
import pytest
from harness import TINY, batch, check_causal_lm, check_head, close, load_ours, original, run_both
from transformers import AutoConfig

LAYERS = {"num_hidden_layers": 3, "sliding_window_pattern": 2, "sliding_window": 5}
SMALL = {**LAYERS, "head_dim": 12, "query_pre_attn_scalar": 9}
VARIANTS = {
    # Released checkpoints: two rotary bases, the longer one scaled.
    "two_ropes": {
        "rope_theta": 1000.0,
        "rope_local_base_freq": 50.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "softcaps": {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0},
    "untied": {"tie_word_embeddings": False, "attention_bias": True, "hidden_activation": "silu"},
    "all_sliding": {"layer_types": ["sliding_attention"] * 3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_gemma3_text(variant, tmp_path):
    check_causal_lm("gemma3_text", tmp_path, **{**SMALL, **VARIANTS[variant]})


def test_gemma3_text_head(tmp_path):
    check_head("gemma3_text", "AutoModelForSequenceClassification", tmp_path, **SMALL)


def test_gemma3_text_bidirectional(tmp_path):
    """The encoder that EmbeddingGemma uses: both sides are seen, within the window."""
    config = AutoConfig.for_model(
        "gemma3_text", **{**TINY, **SMALL, "sliding_window": 6, "use_bidirectional_attention": True}
    )
    theirs = original("AutoModel", config, tmp_path)
    ours = load_ours("AutoModel", tmp_path)
    ids, mask = batch()
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask)
    real = mask > 0
    close(paddle.to_tensor(got[0].numpy()[real]), want[0][np.array(real)], "last hidden state")
    got, want = run_both(theirs, ours, input_ids=ids[1:])
    close(got[0], want[0], "without padding")
