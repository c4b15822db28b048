import pytest
import transformers
from harness import TINY, check_causal_lm, check_head, generate_both

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.bloom import BloomForCausalLM

VARIANTS = {
    "default": {},
    "six heads": {"hidden_size": 48, "n_head": 6, "layer_norm_epsilon": 1e-3},
    "residual after norm": {"apply_residual_connection_post_layernorm": True},
    "untied": {"tie_word_embeddings": False, "slow_but_exact": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_bloom(variant, tmp_path):
    config = transformers.BloomConfig(**{**TINY, "n_head": 4, **VARIANTS[variant]})
    theirs, ours = check_causal_lm("bloom", tmp_path, config)
    # A cache with room to spare has keys beyond the mask.
    options = {"max_new_tokens": 6, "do_sample": False, "cache_implementation": "static"}
    got, want = generate_both(theirs, ours, 99, **options)
    assert got == want


def test_bloom_refuses_sliced_products():
    config = transformers.BloomConfig(**TINY, slow_but_exact=True, pretraining_tp=2)
    with pytest.raises(UnsupportedConfigError, match="pretraining_tp=2"):
        BloomForCausalLM(config)


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_bloom_heads(head, tmp_path):
    check_head("bloom", f"AutoModelFor{head}", tmp_path)
