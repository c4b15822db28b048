import inspect

import numpy as np
import pytest
from harness import (
    B,
    S,
    check_encoder,
    check_generate,
    check_head,
    encoder_config,
    load_ours,
    original,
)

from hfpaddle.models.ernie import ErnieForSequenceClassification, ErnieModel

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


def test_ernie(tmp_path):
    check_encoder("ernie", tmp_path, types=2)


def test_ernie_tasks(tmp_path):
    config = encoder_config("ernie", use_task_id=True, task_type_vocab_size=4)
    tasks = np.random.default_rng(3).integers(0, 4, (B, S))
    check_encoder("ernie", tmp_path, config, types=2, task_type_ids=tasks)


@pytest.mark.parametrize("head", HEADS)
def test_ernie_heads(head, tmp_path):
    check_head("ernie", f"AutoModelFor{head}", tmp_path, encoder_config("ernie", use_task_id=True))


def test_ernie_decoder_generates(tmp_path):
    config = encoder_config("ernie", is_decoder=True, bos_token_id=1, eos_token_id=2)
    theirs = original("AutoModelForCausalLM", config, tmp_path / "theirs")
    ours = load_ours("AutoModelForCausalLM", tmp_path / "theirs")
    check_generate("ernie", theirs, ours, config.vocab_size)


@pytest.mark.parametrize("cls", [ErnieModel, ErnieForSequenceClassification])
def test_ernie_signature_is_the_originals(cls):
    import transformers

    theirs = list(inspect.signature(getattr(transformers, cls.__name__).forward).parameters)
    assert list(inspect.signature(cls.forward).parameters)[:7] == theirs[:7]
