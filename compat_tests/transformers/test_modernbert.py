import numpy as np
import pytest
import torch
from harness import (
    batch,
    check_encoder,
    check_head,
    check_recompute,
    close,
    encoder_config,
    load_ours,
    original,
    run_both,
)

from hfpaddle.models.modernbert import ModernBertForMaskedLM

HEADS = [
    "MaskedLM",
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
]


def config(**overrides):
    fields = {
        **{"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
        **{"num_hidden_layers": 4, "local_attention": 6},
    }
    return encoder_config("modernbert", **{**fields, **overrides})


def test_modernbert(tmp_path):
    _, ours = check_encoder("modernbert", tmp_path, config())
    check_recompute(ours)


def test_modernbert_biases(tmp_path):
    tiny = config(attention_bias=True, mlp_bias=True, norm_bias=True, hidden_activation="silu")
    check_encoder("modernbert", tmp_path, tiny)


def test_modernbert_rope(tmp_path):
    rope = {
        "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    }
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"]
    check_encoder("modernbert", tmp_path, config(rope_parameters=rope, layer_types=kinds))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_modernbert_heads(head, pooling, tmp_path):
    tiny = config(classifier_pooling=pooling, classifier_bias=True, classifier_activation="tanh")
    check_head("modernbert", f"AutoModelFor{head}", tmp_path, tiny)


def test_modernbert_untied_without_bias(tmp_path):
    tiny = config(tie_word_embeddings=False, decoder_bias=False)
    check_head("modernbert", "AutoModelForMaskedLM", tmp_path, tiny)


def test_modernbert_sparse_prediction(tmp_path):
    tiny = config(sparse_prediction=True, sparse_pred_ignore_index=-5)
    theirs = original("AutoModelForMaskedLM", tiny, tmp_path)
    ours = load_ours("AutoModelForMaskedLM", tmp_path)
    ids, mask = batch(left_padded=False)
    labels = np.where(ids % 3 == 0, ids, -5)
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask, labels=labels)
    # The last labelled positions of row 0 are padding.
    count = int((labels[0, :7] != -5).sum())
    close(got.logits[:count], want.logits[:count], "sparse logits")
    got, want = run_both(theirs, ours, input_ids=ids, labels=labels, num_items_in_batch=7)
    close(got.logits, want.logits, "sparse logits")
    close(got.loss.reshape([1]), want.loss.reshape(1), "sparse loss")


def test_modernbert_choice_finds_the_first_token(tmp_path):
    theirs = original("AutoModelForMultipleChoice", config(), tmp_path)
    ours = load_ours("AutoModelForMultipleChoice", tmp_path)
    ids, mask = (np.stack([x, x[::-1]], axis=1) for x in batch())
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask)
    close(got.logits, want.logits, "left-padded choices")
    got, want = run_both(theirs, ours, input_ids=ids)
    close(got.logits, want.logits, "choices without a mask")


def test_modernbert_initialisation():
    ours = ModernBertForMaskedLM(config(hidden_size=64, vocab_size=400))
    weight = ours.model.layers[0].mlp.Wo.weight.numpy()
    std = 0.02 / np.sqrt(8)
    assert np.abs(weight).max() <= 2 * std * 1.0001
    # A normal distribution cut off at two deviations has 0.88 of its deviation left.
    reference = torch.nn.init.trunc_normal_(torch.empty(weight.shape), 0, std, -2 * std, 2 * std)
    assert abs(weight.std() / float(reference.std()) - 1) < 0.05
