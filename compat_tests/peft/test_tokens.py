"""Trained rows of embeddings, alone and beside LoRA, tied and not, equal peft's."""

from __future__ import annotations

import peft
import pytest
import torch
import transformers
from adapter_pairs import (
    TINY,
    Pair,
    adapter_pair,
    check_exchange,
    check_initial,
    inputs,
    near,
    randomise,
)
from harness import load_ours, original

import hfpaddle.peft as ours_peft
from hfpaddle.core import rng

TOKENS = sorted({int(i) for i in inputs("llama")["input_ids"][0, :4]})
TIED_LLAMA = transformers.LlamaConfig(**{**TINY, "tie_word_embeddings": True})


def tied_pair(folder, config="LoraConfig", **kwargs):
    """A llama whose head is its embedding."""
    auto = "AutoModelForCausalLM"
    original(auto, TIED_LLAMA, folder)
    theirs = getattr(transformers, auto).from_pretrained(folder)
    pair = Pair("llama", folder, theirs, load_ours(auto, folder))
    kwargs.setdefault("task_type", "CAUSAL_LM")
    torch.manual_seed(7), rng.manual_seed(7)
    pair.theirs = peft.get_peft_model(pair.theirs, getattr(peft, config)(**kwargs))
    pair.ours = ours_peft.get_peft_model(pair.ours, getattr(ours_peft, config)(**kwargs))
    return pair


def check_merging(pair):
    before = pair.outputs()[0].logits
    pair.ours.merge_adapter(), pair.theirs.merge_adapter()
    pair.check_forward(2e-5)
    pair.ours.unmerge_adapter(), pair.theirs.unmerge_adapter()
    near(before, torch.from_numpy(pair.outputs()[0].logits.numpy()), "unmerged", 2e-5)
    pair.ours, pair.theirs = pair.ours.merge_and_unload(), pair.theirs.merge_and_unload()
    pair.check_forward(2e-5)
    assert pair.ours.state_dict().keys() == pair.theirs.state_dict().keys()


CASES = {
    "alone": ("llama", "TrainableTokensConfig", {"token_indices": TOKENS}),
    "alone-drawn": (
        "llama", "TrainableTokensConfig", {"token_indices": TOKENS, "init_weights": False},
    ),
    "alone-tied": ("gpt2", "TrainableTokensConfig", {"token_indices": TOKENS}),
    "alone-bert": ("bert", "TrainableTokensConfig", {
        "token_indices": TOKENS, "target_modules": ["word_embeddings"],
    }),
    "lora": ("llama", "LoraConfig", {"r": 4, "trainable_token_indices": TOKENS}),
    "lora-tied": ("gpt2", "LoraConfig", {"r": 4, "trainable_token_indices": TOKENS}),
    "lora-named": ("llama", "LoraConfig", {"trainable_token_indices": {"embed_tokens": TOKENS}}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_tokens(case, tmp_path):
    family, config, kwargs = CASES[case]
    pair = adapter_pair(family, tmp_path / "base", config, False, **kwargs)
    check_initial(pair)
    randomise(pair)
    pair.check_forward()
    pair.gradients()
    check_exchange(pair, tmp_path)
    check_merging(pair)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"trainable_token_indices": TOKENS},
        {"trainable_token_indices": TOKENS, "ensure_weight_tying": True},
        {"trainable_token_indices": {"embed_tokens": TOKENS, "lm_head": TOKENS}},
    ],
    ids=["list", "ensured", "both"],
)
def test_tied_heads_follow(kwargs, tmp_path):
    pair = tied_pair(tmp_path / "base", **kwargs)
    check_initial(pair)
    randomise(pair)
    pair.check_forward()
    pair.gradients()
    with pair.ours.disable_adapter(), pair.theirs.disable_adapter():
        pair.check_forward()
    check_merging(pair)


def test_rows_of_their_own_for_a_tied_head(tmp_path):
    tokens = {"embed_tokens": TOKENS, "lm_head": TOKENS[:2]}
    pair = tied_pair(tmp_path / "base", trainable_token_indices=tokens)
    check_initial(pair)
    randomise(pair)
    pair.check_forward()
    pair.gradients()
    with pytest.raises(ValueError, match="ensure weight tying"):
        tied_pair(tmp_path / "2", trainable_token_indices=tokens, ensure_weight_tying=True)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_two_adapters_and_batches_of_both(tied, tmp_path):
    kwargs = {"r": 2, "task_type": "CAUSAL_LM"}
    if tied:
        pair = tied_pair(tmp_path / "base", trainable_token_indices=TOKENS, **kwargs)
    else:
        pair = adapter_pair("llama", tmp_path / "base", trainable_token_indices=TOKENS, **kwargs)
    for model, library in ((pair.theirs, peft), (pair.ours, ours_peft)):
        model.add_adapter("other", library.LoraConfig(trainable_token_indices=TOKENS[1:], **kwargs))
    randomise(pair), randomise(pair, "other", seed=1)
    pair.check_forward()
    pair.ours.set_adapter("other"), pair.theirs.set_adapter("other")
    pair.check_forward()
    pair.gradients()
    names = ["default", "other", "__base__"]
    batch = {k: v for k, v in inputs("llama").items() if k != "labels"}
    pair.ours.eval(), pair.theirs.eval()
    theirs = pair.theirs(**{k: torch.from_numpy(v) for k, v in batch.items()}, adapter_names=names)
    import paddle

    ours = pair.ours(**{k: paddle.to_tensor(v) for k, v in batch.items()}, adapter_names=names)
    near(ours.logits, theirs.logits, "mixed batch")
    pair.ours.delete_adapter("other"), pair.theirs.delete_adapter("other")
    pair.ours.set_adapter("default"), pair.theirs.set_adapter("default")
    pair.check_forward()


def test_overlapping_rows_are_refused(tmp_path):
    config = {"token_indices": TOKENS, "task_type": "CAUSAL_LM"}
    pair = adapter_pair("llama", tmp_path / "base", "TrainableTokensConfig", **config)
    for model, library in ((pair.theirs, peft), (pair.ours, ours_peft)):
        model.add_adapter("other", library.TrainableTokensConfig(**config))
        with pytest.raises(ValueError, match="disjunct"):
            model.merge_adapter(["default", "other"])
