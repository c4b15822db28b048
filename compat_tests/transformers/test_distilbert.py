import numpy as np
import paddle
import pytest
import torch
import transformers
from harness import (
    B,
    S,
    check_encoder,
    check_head,
    check_recompute,
    close,
    encoder_config,
    load_ours,
    original,
)

import hfpaddle.modeling.auto as ours_auto

HEADS = [
    "MaskedLM",
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
]


def config(**overrides):
    fields = {"intermediate_size": None, "hidden_dim": 48, **overrides}
    return encoder_config("distilbert", **fields)


def test_distilbert(tmp_path):
    _, ours = check_encoder("distilbert", tmp_path, config())
    check_recompute(ours)


def test_distilbert_other_activation(tmp_path):
    check_encoder("distilbert", tmp_path, config(activation="relu"))


@pytest.mark.parametrize("head", HEADS)
def test_distilbert_heads(head, tmp_path):
    check_head("distilbert", f"AutoModelFor{head}", tmp_path, config(seq_classif_dropout=0.3))


def test_distilbert_untied(tmp_path):
    tiny = config(tie_word_embeddings=False)
    check_head("distilbert", "AutoModelForMaskedLM", tmp_path, tiny)


def test_distilbert_sinusoidal_table():
    tiny = config(sinusoidal_pos_embds=True)
    ours = ours_auto.AutoModel.from_config(tiny).embeddings.position_embeddings.weight
    theirs = transformers.AutoModel.from_config(tiny).embeddings.position_embeddings.weight
    close(ours, theirs, "sinusoids", 1e-6)
    assert ours.stop_gradient


def test_distilbert_takes_embeddings_third_and_ignores_token_types(tmp_path):
    theirs = original("AutoModel", config(), tmp_path)
    ours = load_ours("AutoModel", tmp_path)
    embeds = np.random.default_rng(0).standard_normal((B, S, 32)).astype("float32")
    mask = np.ones((B, S), dtype=np.int64)
    with torch.no_grad():
        want = theirs(None, torch.tensor(mask), torch.tensor(embeds))
    types = paddle.to_tensor(mask)
    got = ours(None, types, paddle.to_tensor(embeds), token_type_ids=types)
    close(got[0], want[0], "positional embeddings")
