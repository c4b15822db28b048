import pytest
import transformers
from harness import TINY, check_causal_lm, check_head

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.mistral import MistralForCausalLM

VARIANTS = {
    # Shorter than the 11 tokens of the input, so that the window hides some.
    "window": {"sliding_window": 5},
    "no_window": {"sliding_window": None, "head_dim": 12, "tie_word_embeddings": True},
    "wide_window": {"hidden_act": "gelu", "rms_norm_eps": 1e-3, "num_key_value_heads": 4},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_mistral(variant, tmp_path):
    check_causal_lm("mistral", tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_mistral_heads(head, tmp_path):
    check_head("mistral", f"AutoModelFor{head}", tmp_path, sliding_window=5)


def test_mistral_refuses_alternating_layers():
    mixed = ["full_attention", "sliding_attention"]
    config = transformers.MistralConfig(**TINY, layer_types=mixed)
    with pytest.raises(UnsupportedConfigError, match="layer_types"):
        MistralForCausalLM(config)
