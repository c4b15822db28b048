import paddle
import pytest
import transformers
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
from hfpaddle.modeling.auto import AutoModel

HEADS = [
    "MaskedLM",
    "CausalLM",
    "PreTraining",
    "NextSentencePrediction",
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
]


def test_bert(tmp_path):
    _, ours = check_encoder("bert", tmp_path, types=2)
    check_recompute(ours)


def test_bert_other_sizes(tmp_path):
    config = encoder_config("bert", hidden_act="relu", type_vocab_size=5, layer_norm_eps=1e-5)
    check_encoder("bert", tmp_path, config, types=5)


@pytest.mark.parametrize("head", HEADS)
def test_bert_heads(head, tmp_path):
    check_head("bert", f"AutoModelFor{head}", tmp_path, encoder_config("bert"))


def test_bert_untied(tmp_path):
    config = encoder_config("bert", tie_word_embeddings=False)
    check_head("bert", "AutoModelForMaskedLM", tmp_path, config)


def test_bert_decoder_generates(tmp_path):
    config = encoder_config("bert", is_decoder=True, bos_token_id=1, eos_token_id=2)
    check_head("bert", "AutoModelForCausalLM", tmp_path, config)
    theirs = original("AutoModelForCausalLM", config, tmp_path / "theirs")
    ours = load_ours("AutoModelForCausalLM", tmp_path / "theirs")
    check_generate("bert", theirs, ours, config.vocab_size)


@pytest.mark.parametrize(
    "field", [{"add_cross_attention": True}, {"position_embedding_type": "relative_key"}]
)
def test_bert_refuses(field):
    with pytest.raises(UnsupportedConfigError, match=next(iter(field))):
        AutoModel.from_config(encoder_config("bert", **field))


def test_bert_old_spellings(tmp_path):
    theirs = original("AutoModelForMaskedLM", encoder_config("bert"), tmp_path / "theirs")
    old = {}
    for name, tensor in theirs.state_dict().items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        old[name.replace("LayerNorm.bias", "LayerNorm.beta")] = paddle.to_tensor(tensor.numpy())
    old["bert.embeddings.position_ids"] = paddle.arange(40).unsqueeze(0)
    ours = transformers.AutoConfig.from_pretrained(tmp_path / "theirs")
    from hfpaddle.models.bert import BertForMaskedLM

    ours, info = BertForMaskedLM.from_pretrained(
        None, config=ours, state_dict=old, output_loading_info=True
    )
    assert not any(info.values()), info
    for name, tensor in theirs.state_dict().items():
        assert (ours.state_dict()[name].numpy() == tensor.numpy()).all(), name
