import numpy as np
import paddle
import pytest
import torch
from harness import (
    batch,
    check_encoder,
    check_head,
    check_recompute,
    check_saved,
    close,
    encoder_config,
    load_ours,
    original,
    run_both,
)
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

import hfpaddle.modeling.auto as ours_auto
from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers.disentangled import relative_positions

HEADS = [
    "MaskedLM",
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
]
# As microsoft/deberta-v3-*, and -v2-xlarge with its convolution, scaled down.
V3 = {
    **{"relative_attention": True, "position_buckets": 4, "norm_rel_ebd": "layer_norm"},
    **{"share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False},
    "type_vocab_size": 0,
}
VARIANTS = {
    "v3": V3,
    "v2": {**V3, "conv_kernel_size": 3, "conv_act": "gelu"},
    "grouped convolution": {**V3, "conv_kernel_size": 5, "conv_groups": 4},
    "separate keys": {**V3, "share_att_key": False},
    "c2p": {**V3, "share_att_key": False, "pos_att_type": "c2p"},
    "p2c": {**V3, "share_att_key": False, "pos_att_type": ["p2c"]},
    "no buckets": {**V3, "position_buckets": -1, "max_relative_positions": 6},
    "relative without kinds": {**V3, "pos_att_type": None},
    "absolute": {"type_vocab_size": 3},
    "narrow embedding": {**V3, "embedding_size": 16, "position_biased_input": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_deberta_v2(variant, tmp_path):
    config = encoder_config("deberta-v2", **VARIANTS[variant])
    theirs, ours = check_encoder("deberta-v2", tmp_path, config, types=config.type_vocab_size)
    # One kernel only, so even padding is equal.
    ids, mask = batch(left_padded=False)
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask)
    close(got[0], want[0], "padding")
    if variant in ("v2", "separate keys"):
        check_recompute(ours)


@pytest.mark.parametrize("head", HEADS)
def test_deberta_v2_heads(head, tmp_path):
    config = encoder_config("deberta-v2", **V3, cls_dropout=0.3, pooler_hidden_act="tanh")
    check_head("deberta-v2", f"AutoModelFor{head}", tmp_path, config)


@pytest.mark.parametrize(
    "fields",
    [
        {"legacy": False},
        {"tie_word_embeddings": False},
        {"legacy": True, "embedding_size": 16},
    ],
)
def test_deberta_v2_masked_heads(fields, tmp_path):
    config = encoder_config("deberta-v2", **V3, **fields)
    check_head("deberta-v2", "AutoModelForMaskedLM", tmp_path, config)


@pytest.mark.parametrize("sizes", [(256, 512), (256, 2048), (32, 128), (6, 13), (8, 65), (4, 40)])
def test_buckets_are_the_originals(sizes):
    for length in (1, 11, 1500):
        grid = torch.arange(length)[:, None] - torch.arange(length)[None]
        want = make_log_bucket_position(grid, *sizes).long().numpy()
        np.testing.assert_array_equal(relative_positions(length, *sizes), want)


@pytest.mark.parametrize(
    "labels, count",
    [
        (np.array([2, -1]), 3),
        (np.array([-1, -1]), 3),
        (np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], dtype="float32"), 3),
        (np.array([0.2, 0.7], dtype="float32"), 1),
    ],
)
def test_deberta_v2_guesses_its_loss(labels, count, tmp_path):
    config = encoder_config("deberta-v2", **V3)
    config.num_labels = count
    theirs = original("AutoModelForSequenceClassification", config, tmp_path)
    ours = load_ours("AutoModelForSequenceClassification", tmp_path)
    ids, mask = batch()
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask, labels=labels)
    close(got.loss.reshape([1]), want.loss.reshape(1), "loss")


def test_deberta_v2_leaves_out_a_position_table_without_a_word(tmp_path):
    config = encoder_config("deberta-v2", **V3)
    theirs = original("AutoModel", config, tmp_path / "theirs")
    tensors = {k: paddle.to_tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    tensors["deberta.embeddings.position_embeddings.weight"] = paddle.zeros([40, 32])
    kind = type(ours_auto.AutoModel.from_config(config))
    ours, info = kind.from_pretrained(
        None, config=config, state_dict=tensors, output_loading_info=True
    )
    assert not any(info.values()), info
    check_saved(ours, tmp_path / "theirs", tmp_path / "ours", "AutoModel")


@pytest.mark.parametrize("fields", [{"attention_head_size": 4}, {"conv_kernel_size": 4}])
def test_deberta_v2_refuses(fields):
    with pytest.raises(UnsupportedConfigError, match=next(iter(fields))):
        ours_auto.AutoModel.from_config(encoder_config("deberta-v2", **V3, **fields))
