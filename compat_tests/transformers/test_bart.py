import harness
import paddle
import pytest
import torch
import transformers
from harness import TINY, batch, check_causal_lm, close, load_ours, note, run_both
from harness_seq2seq import check_seq2seq, check_seq2seq_head, targets
from safetensors.torch import load_file, save_file

import hfpaddle.modeling.auto as auto
from hfpaddle.models.bart import BartForCausalLM, BartForConditionalGeneration


def tiny(**overrides):
    sizes = {"vocab_size": 99, "d_model": 32, "max_position_embeddings": 40}
    encoder = {"encoder_layers": 2, "encoder_ffn_dim": 48, "encoder_attention_heads": 4}
    decoder = {"decoder_layers": 2, "decoder_ffn_dim": 40, "decoder_attention_heads": 4}
    # Tests pad with 0, as the harness does.
    special = {"pad_token_id": 0, "bos_token_id": 1}
    return transformers.BartConfig(**{**sizes, **encoder, **decoder, **special, **overrides})


VARIANTS = {
    "default": {},
    "scaled": {"scale_embedding": True, "activation_function": "relu", "dropout": 0.0},
    "uneven": {"decoder_layers": 1, "decoder_attention_heads": 2, "encoder_layerdrop": 0.1},
    "deep decoder": {"decoder_layers": 3, "forced_eos_token_id": None},
}


def test_bart_causal(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "note", lambda *_, **__: None)
    theirs, ours = check_causal_lm("bart", tmp_path, tiny())
    assert isinstance(ours, BartForCausalLM)
    theirs.set_attn_implementation("eager")
    source = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1)).numpy()
    ids, _ = batch()
    given = {"input_ids": ids, "encoder_hidden_states": source, "output_attentions": True}
    got, want = run_both(theirs, ours, **given)
    close(got.logits, want.logits, "logits with a source")
    for a, b in zip(got.cross_attentions, want.cross_attentions, strict=True):
        close(a, b, "cross attentions")
    note("bart", AutoModelForCausalLM="equal")


@pytest.mark.parametrize("variant", VARIANTS)
def test_bart(variant, tmp_path):
    check_seq2seq("bart", tmp_path, tiny(**VARIANTS[variant]))


def test_bart_untied(tmp_path):
    check_seq2seq("bart", tmp_path, tiny(tie_word_embeddings=False))


@pytest.mark.parametrize(
    "head", ["AutoModel", "AutoModelForSequenceClassification", "AutoModelForQuestionAnswering"]
)
def test_bart_heads(head, tmp_path):
    check_seq2seq_head("bart", head, tmp_path, tiny(classifier_dropout=0.1))


def test_bart_base_checkpoint(tmp_path):
    """Names without prefix, old markers, no bias: as `facebook/bart-base` is stored."""
    theirs, _ = check_seq2seq("bart", tmp_path, tiny())
    path = tmp_path / "theirs" / "model.safetensors"
    old = {k.removeprefix("model."): v for k, v in load_file(path).items()}
    del old["final_logits_bias"]
    old["encoder.version"] = torch.tensor([3.0])
    save_file(old, path, {"format": "pt"})
    ours = load_ours("AutoModelForSeq2SeqLM", tmp_path / "theirs")
    theirs.final_logits_bias.zero_()
    got, want = run_both(theirs, ours, input_ids=batch()[0], labels=targets(99))
    close(got.logits, want.logits, "logits")


def test_layerdrop_skips_blocks_while_training():
    for kind, sizes in (("bart", {"encoder_layerdrop": 1.0}), ("opt", {"layerdrop": 1.0})):
        config = transformers.AutoConfig.for_model(kind, **{**TINY, **sizes})
        model = auto.AutoModel.from_config(config)
        blocks = model.encoder.layers if kind == "bart" else model.decoder.layers
        x = paddle.randn([1, 3, 32])
        assert blocks[0].train()(x, None) is x


def test_bart_resize():
    model = BartForConditionalGeneration(tiny()).eval()
    model.final_logits_bias += 1.0
    ids = paddle.to_tensor(batch()[0])
    before = model(ids).logits
    model.resize_token_embeddings(103)
    after = model(ids).logits
    assert after.shape[-1] == 103 and model.get_encoder().embed_tokens.weight.shape[0] == 103
    close(after[..., :99], torch.tensor(before.detach().numpy()), "logits of kept tokens")
