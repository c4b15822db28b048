import pytest
from harness import (
    check_encoder,
    check_generate,
    check_head,
    check_recompute,
    encoder_config,
    load_ours,
    original,
)

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.modeling.auto import AutoModelForMultipleChoice

HEADS = [
    "MaskedLM",
    "CausalLM",
    "PreTraining",
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
]


@pytest.mark.parametrize("width", [16, 32])
def test_electra(width, tmp_path):
    config = encoder_config("electra", embedding_size=width)
    _, ours = check_encoder("electra", tmp_path, config, types=2)
    check_recompute(ours)


@pytest.mark.parametrize("head", HEADS)
def test_electra_heads(head, tmp_path):
    config = encoder_config("electra", embedding_size=16)
    check_head("electra", f"AutoModelFor{head}", tmp_path, config)


@pytest.mark.parametrize("kind", ["last", "mean", "cls_index"])
def test_electra_summaries(kind, tmp_path):
    config = encoder_config(
        "electra", summary_type=kind, summary_use_proj=kind != "mean", summary_activation="tanh"
    )
    check_head("electra", "AutoModelForMultipleChoice", tmp_path, config)


def test_electra_refuses_attention_summary():
    with pytest.raises(UnsupportedConfigError, match="summary_type='attn'"):
        AutoModelForMultipleChoice.from_config(encoder_config("electra", summary_type="attn"))


def test_electra_decoder_generates(tmp_path):
    config = encoder_config("electra", is_decoder=True, bos_token_id=1, eos_token_id=2)
    theirs = original("AutoModelForCausalLM", config, tmp_path / "theirs")
    ours = load_ours("AutoModelForCausalLM", tmp_path / "theirs")
    check_generate("electra", theirs, ours, config.vocab_size)
