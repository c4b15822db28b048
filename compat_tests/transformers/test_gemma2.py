import paddle
import pytest
import transformers
from harness import TINY, check_causal_lm, check_head

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.gemma2 import Gemma2Model

SMALL = {"num_hidden_layers": 3, "sliding_window": 5, "head_dim": 12, "query_pre_attn_scalar": 9}
VARIANTS = {
    "capped": {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0},
    "uncapped": {"final_logit_softcapping": None, "attn_logit_softcapping": None},
    "untied": {"tie_word_embeddings": False, "attention_bias": True, "hidden_activation": "silu"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_gemma2(variant, tmp_path):
    check_causal_lm("gemma2", tmp_path, **{**SMALL, **VARIANTS[variant]})


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_gemma2_heads(head, tmp_path):
    check_head("gemma2", f"AutoModelFor{head}", tmp_path, **SMALL)


def test_bidirectional_is_refused():
    config = transformers.Gemma2Config(**{**TINY, **SMALL}, use_bidirectional_attention=True)
    with pytest.raises(UnsupportedConfigError, match="use_bidirectional_attention"):
        Gemma2Model(config)
    config.use_bidirectional_attention = False
    assert isinstance(Gemma2Model(config), paddle.nn.Layer)
