import pytest
import transformers
from harness import TINY, check_causal_lm, check_head

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.qwen2 import Qwen2ForCausalLM

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


def test_qwen2_refuses_sliding_layers_without_window():
    """use_sliding_window is False by default, which clears sliding_window."""
    kinds = ["sliding_attention", "full_attention"]
    config = transformers.Qwen2Config(**TINY, sliding_window=5, layer_types=kinds)
    with pytest.raises(UnsupportedConfigError, match="sliding_window = None"):
        Qwen2ForCausalLM(config)
