import pytest
from harness import (
    check_encoder,
    check_generate,
    check_head,
    encoder_config,
    load_ours,
    original,
)

HEADS = [
    "MaskedLM",
    "CausalLM",
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
]
FAMILIES = ["roberta", "xlm-roberta"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pad", [0, 1])
def test_roberta(family, pad, tmp_path):
    config = encoder_config(family, type_vocab_size=2, pad_token_id=pad)
    check_encoder(family, tmp_path, config, types=2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_roberta_heads(family, head, tmp_path):
    config = encoder_config(family, classifier_dropout=0.3)
    check_head(family, f"AutoModelFor{head}", tmp_path, config)


@pytest.mark.parametrize("family", FAMILIES)
def test_roberta_untied(family, tmp_path):
    config = encoder_config(family, tie_word_embeddings=False)
    check_head(family, "AutoModelForMaskedLM", tmp_path, config)


@pytest.mark.parametrize("family", FAMILIES)
def test_roberta_decoder_generates(family, tmp_path):
    config = encoder_config(family, is_decoder=True, bos_token_id=1, eos_token_id=2)
    check_head(family, "AutoModelForCausalLM", tmp_path, config)
    theirs = original("AutoModelForCausalLM", config, tmp_path / "theirs")
    ours = load_ours("AutoModelForCausalLM", tmp_path / "theirs")
    check_generate(family, theirs, ours, config.vocab_size)
