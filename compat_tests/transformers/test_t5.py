import numpy as np
import paddle
import pytest
import torch
import transformers
from harness import batch, check_head, close, load_ours, original, run_both
from harness_seq2seq import check_seq2seq, check_seq2seq_head, targets
from safetensors.torch import load_file, save_file
from transformers.models.t5.modeling_t5 import T5Attention

from hfpaddle.models.t5 import T5EncoderModel, T5ForConditionalGeneration, position_buckets


def tiny(**overrides):
    sizes = {
        "vocab_size": 99,
        "d_model": 32,
        "d_kv": 6,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
    }
    # Few buckets, so that eleven tokens reach the logarithmic ones.
    few = {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 10}
    start = {"decoder_start_token_id": 0}
    return transformers.T5Config(**{**sizes, **few, **start, **overrides})


VARIANTS = {
    "1.0": {},
    "1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "shallow decoder": {"num_decoder_layers": 1, "feed_forward_proj": "gelu"},
    "another gate": {"feed_forward_proj": "gated-silu", "layer_norm_epsilon": 1e-3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_t5(variant, tmp_path):
    check_seq2seq("t5", tmp_path, tiny(**VARIANTS[variant]))


@pytest.mark.parametrize(
    "auto", ["AutoModel", "AutoModelForSequenceClassification", "AutoModelForQuestionAnswering"]
)
def test_t5_heads(auto, tmp_path):
    check_seq2seq_head("t5", auto, tmp_path, tiny(classifier_dropout=0.1))


def test_t5_token_classification(tmp_path):
    check_head("t5", "AutoModelForTokenClassification", tmp_path, tiny())


def test_t5_encoder(tmp_path):
    """The encoder of a whole checkpoint."""
    original("AutoModelForSeq2SeqLM", tiny(), tmp_path)
    theirs = transformers.T5EncoderModel.from_pretrained(tmp_path)
    ours, info = T5EncoderModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    ids, mask = batch(left_padded=False)
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask)
    real = mask > 0
    close(paddle.to_tensor(got[0].numpy()[real]), want[0][torch.tensor(real)], "last hidden state")


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("buckets, distance", [(32, 128), (8, 10), (64, 800)])
def test_t5_buckets(bidirectional, buckets, distance):
    distances = np.arange(-3000, 3001)
    arguments = (bidirectional, buckets, distance)
    want = T5Attention._relative_position_bucket(torch.tensor(distances), *arguments)
    np.testing.assert_array_equal(position_buckets(distances, *arguments), want.numpy())


def test_t5_projection_of_its_own(tmp_path):
    """1.1 and Flan store a projection besides the embedding; neither library ties the two then."""
    config = tiny(tie_word_embeddings=False, feed_forward_proj="gated-gelu")
    original("AutoModelForSeq2SeqLM", config, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    own = torch.randn(99, 32, generator=torch.Generator().manual_seed(3))
    tables = {f"{side}.embed_tokens.weight": tensors["shared.weight"].clone() for side in SIDES}
    save_file({**tensors, **tables, "lm_head.weight": own}, path, {"format": "pt"})
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path)
    ours = load_ours("AutoModelForSeq2SeqLM", tmp_path)
    assert ours.lm_head.weight is not ours.shared.weight
    assert ours.encoder.embed_tokens.weight is ours.shared.weight
    got, want = run_both(theirs, ours, input_ids=batch()[0], labels=targets(99))
    close(got.logits, want.logits, "logits")
    ours.save_pretrained(tmp_path / "again")
    kept = load_file(tmp_path / "again" / "model.safetensors")
    assert torch.equal(kept["lm_head.weight"], own) and "encoder.embed_tokens.weight" not in kept


SIDES = ("encoder", "decoder")


def test_t5_half_precision(tmp_path):
    """Loading as float16 keeps what would overflow in float32, as in the original."""
    original("AutoModelForSeq2SeqLM", tiny(), tmp_path)
    for dtype, wide in (("float16", "float32"), ("bfloat16", "bfloat16")):
        theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype)
        ours = T5ForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype)
        dtypes = {n: str(p.dtype).split(".")[1] for n, p in theirs.named_parameters()}
        assert dtypes == {n: str(p.dtype).split(".")[1] for n, p in ours.named_parameters()}
        assert dtypes["encoder.block.0.layer.1.DenseReluDense.wo.weight"] == wide


def test_t5_initial_weights():
    """Each kind of weight begins with the standard deviation of the original's."""
    config = tiny(d_model=128, d_kv=64, d_ff=128, initializer_factor=0.5)
    theirs, ours = (
        transformers.T5ForConditionalGeneration(config),
        T5ForConditionalGeneration(config),
    )
    mine = dict(ours.named_parameters())
    for name, param in theirs.named_parameters():
        std = float((param.std() if param.ndim > 1 else param.mean()).detach())
        got = float(mine[name].std() if param.ndim > 1 else mine[name].mean())
        assert got == pytest.approx(std, rel=0.35 if "relative" in name else 0.05), name
