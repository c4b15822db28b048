"""Tokenizers and checkpoints that the trainer's comparisons share, made in a folder."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = "the a cat dog sat ran on mat under big small red blue tree house and then it was".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["##s", "##ing", "##ed", "##er", "run", "walk", "jump", "look", "."]


def write_bert_tokenizer(folder: Path) -> Path:
    """Write a WordPiece tokenizer with BERT's special tokens."""
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocab = [*SPECIAL, *WORDS, *PIECES]
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    table = {word: i for i, word in enumerate(vocab)}
    BertTokenizerFast(vocab=table, do_lower_case=True).save_pretrained(folder)
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"] == table
    return folder


SENTENCES = [
    "the cat sat on the mat .",
    "a big dog runs and then it was walking under the tree .",
    "red house",
    "it jumped and the small cat looks on .",
    "the dog was running under a blue tree and then the cat sat on it .",
]
