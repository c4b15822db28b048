import numpy as np
import paddle
import pytest
import torch
import transformers
from harness import (
    B,
    S,
    batch,
    check_encoder,
    check_generate,
    check_head,
    check_recompute,
    close,
    encoder_config,
    load_ours,
    original,
    run_both,
)

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers.cache import DynamicCache
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


@pytest.mark.parametrize("masked", [True, False])
def test_bert_sees_a_prefix_in_the_cache(masked, tmp_path):
    """Prefix tuning passes keys and values of tokens that were never embedded."""
    theirs = original("AutoModel", encoder_config("bert"), tmp_path)
    ours = load_ours("AutoModel", tmp_path)
    ids, _ = batch()
    mask = np.ones((B, 3 + S), dtype=np.int64)
    mask[0, 0] = 0
    prefix = np.linspace(-1, 1, B * 4 * 3 * 8, dtype="float32").reshape(B, 4, 3, 8)
    caches = []
    for kind, model, make in (
        (transformers.DynamicCache, theirs, torch.tensor),
        (DynamicCache, ours, paddle.to_tensor),
    ):
        caches.append(kind(config=model.config))
        for layer in range(2):
            caches[-1].update(make(prefix), make(prefix), layer)
    with torch.no_grad():
        tokens = torch.tensor(mask) if masked else None
        want = theirs(torch.tensor(ids), tokens, past_key_values=caches[0])
    tokens = paddle.to_tensor(mask) if masked else None
    got = ours(paddle.to_tensor(ids), tokens, past_key_values=caches[1])
    close(got[0], want[0], "state behind a prefix")


@pytest.mark.parametrize("head", ["SequenceClassification", "MultipleChoice"])
def test_bert_heads_take_token_types(head, tmp_path):
    theirs = original(f"AutoModelFor{head}", encoder_config("bert"), tmp_path)
    ours = load_ours(f"AutoModelFor{head}", tmp_path)
    ids, mask = batch(left_padded=False)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
    if head == "MultipleChoice":
        inputs = {k: np.stack([v, v[::-1]], axis=1) for k, v in inputs.items()}
    flags = {"output_hidden_states": True, "output_attentions": True}
    got, want = run_both(theirs, ours, **inputs, **flags)
    assert list(got.keys()) == list(want.keys())
    close(got.logits, want.logits, "logits")
    close(got.hidden_states[0], want.hidden_states[0], "embeddings")
    assert [len(got.hidden_states), len(got.attentions)] == [3, 2]
    plain, _ = run_both(theirs, ours, **{**inputs, "token_type_ids": inputs["input_ids"] * 0})
    assert float((plain.logits - got.logits).abs().max()) > 1e-3
    got, want = run_both(theirs, ours, **inputs, return_dict=False)
    assert isinstance(got, tuple) and len(got) == len(want)
