import paddle
import pytest
import torch
import transformers
from harness import TINY, batch, check_causal_lm, check_head, close, run_both
from transformers.models.falcon.modeling_falcon import FalconAttention

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.falcon import FalconForCausalLM

NEW = {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 48}
VARIANTS = {
    "7b": {},
    "40b": NEW,
    "11b": {**NEW, "num_ln_in_parallel_attn": 1, "activation": "relu"},
    "many keys": {"multi_query": False, "bias": True, "tie_word_embeddings": False},
    "serial": {"parallel_attn": False, "bias": True, "layer_norm_epsilon": 1e-3},
    "linear": {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}},
    "rw": {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
    "alibi, six heads": {"alibi": True, "hidden_size": 48, "num_attention_heads": 6, **NEW},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_falcon(variant, tmp_path, monkeypatch):
    forward = FalconAttention.forward

    def alibi_once(self, hidden_states, alibi=None, **kwargs):
        # The original's eager attention adds alibi to scores whose mask already holds it; its
        # default attention, compared below, adds the mask alone.
        return forward(self, hidden_states, alibi if alibi is None else 0 * alibi, **kwargs)

    monkeypatch.setattr(FalconAttention, "forward", alibi_once)
    config = transformers.FalconConfig(**{**TINY, **VARIANTS[variant]})
    # Its attention is chosen when it is built; asked for attentions, the default one fails to mask.
    config._attn_implementation = "eager"
    _, ours = check_causal_lm("falcon", tmp_path, config)
    monkeypatch.undo()
    default = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    assert default.config._attn_implementation == "sdpa"
    ids, mask = batch()
    got, want = run_both(default, ours, input_ids=ids, attention_mask=mask)
    real = mask > 0
    close(paddle.to_tensor(got.logits.numpy()[real]), want.logits[torch.tensor(real)], "logits")


@pytest.mark.parametrize(
    "refused",
    [
        {"new_decoder_architecture": True, "parallel_attn": False},
        {"new_decoder_architecture": False, "num_ln_in_parallel_attn": 2},
    ],
)
def test_falcon_refuses_what_the_original_cannot_run(refused):
    with pytest.raises(UnsupportedConfigError, match="num_ln_in_parallel_attn=2"):
        FalconForCausalLM(transformers.FalconConfig(**TINY, **refused))


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_falcon_heads(head, tmp_path):
    check_head("falcon", f"AutoModelFor{head}", tmp_path)
