"""Tiny checkpoints with tokenizers for the pipelines' tests, and the comparison of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch
import transformers
from harness import TINY, original
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

import hfpaddle.transformers as hf

WORDS = (
    "the a my name is wolf ##gang and i live in berlin where do what who you cat dog sat on mat "
    "runs fast ##er un ##happy movie was good bad sport ##s politic ##al example this tree ##s "
    "green house of old new city river . , ? !"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [
    "My name is Wolfgang and I live in Berlin.",
    "the cat sat on the mat",
    "A dog runs faster, the unhappy cat sat!",
]
CHATTY = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}{% if not (loop.last and "
    "continue_final_message) %} <end> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TOLERANCE = 1e-5


def word_tokenizer(max_length: int = 64, **kwargs: Any) -> Any:
    """A WordPiece tokenizer as BERT's, with a vocabulary of its own."""
    vocab = {token: i for i, token in enumerate(dict.fromkeys([*SPECIAL, *WORDS]))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name[1:-1].lower()}_token": name for name in SPECIAL},
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=max_length,
        **kwargs,
    )


def byte_tokenizer(**kwargs: Any) -> Any:
    """A byte-level BPE tokenizer trained on a few sentences, with a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, " ".join(WORDS)], trainer)
    kwargs = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", **kwargs}
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=100, **kwargs
    )
    made.chat_template = CHATTY
    return made


def checkpoint(folder: Path, auto: str, family: str = "bert", tokenizer: Any = None, **fields: Any):
    """Let the original write a tiny model with its tokenizer; returns the folder's name."""
    tokenizer = word_tokenizer() if tokenizer is None else tokenizer
    sizes = {**TINY, "vocab_size": len(tokenizer)}
    if family == "bert":  # no ids of its own for the beginning and the end
        sizes = {k: v for k, v in sizes.items() if not k.endswith("token_id")}
    original(auto, transformers.AutoConfig.for_model(family, **{**sizes, **fields}), folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def both(task: str, folder: str, **kwargs: Any) -> tuple[Any, Any]:
    """Return the pipelines of ours and of the original for one folder."""
    ours = hf.pipeline(task, model=folder, **kwargs)
    return ours, transformers.pipeline(task, model=folder, device="cpu", **kwargs)


def same(actual: Any, expected: Any, where: str = "result") -> None:
    """Assert equal structure, types and values; floats within `TOLERANCE`."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(actual, paddle.Tensor) and list(actual.shape) == list(expected.shape)
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=TOLERANCE, atol=TOLERANCE)
        return
    assert type(actual) is type(expected), f"{where}: {type(actual)} is no {type(expected)}"
    if isinstance(expected, dict):
        assert list(actual) == list(expected), where
        for key in expected:
            same(actual[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), f"{where}: {len(actual)} != {len(expected)}"
        for i, pair in enumerate(zip(actual, expected, strict=True)):
            same(*pair, f"{where}[{i}]")
    elif isinstance(expected, (float, np.floating)):
        assert abs(actual - expected) <= TOLERANCE * (1 + abs(expected)), (
            f"{where}: {actual} != {expected}"
        )
    else:
        assert actual == expected, where


def check(pipes: tuple[Any, Any], *args: Any, **kwargs: Any) -> Any:
    """Call both with the same arguments and compare what they return. Returns ours."""
    ours, theirs = pipes
    actual = ours(*args, **kwargs)  # first: the original changes some arguments in place
    expected = theirs(*args, **kwargs)
    same(actual, expected)
    return actual
