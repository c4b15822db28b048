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


def write_checkpoints(folder: Path) -> Path:
    """Let the original write a tiny ``llama`` and ``bert`` without dropout, and a tokenizer."""
    import torch
    import transformers

    sizes = {
        **{"vocab_size": len(SPECIAL) + len(WORDS) + len(PIECES), "hidden_size": 32},
        **{"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48},
        **{"pad_token_id": 0, "max_position_embeddings": 64},
    }
    torch.manual_seed(0)
    llama = transformers.LlamaConfig(num_key_value_heads=2, **sizes)
    transformers.LlamaForCausalLM(llama).save_pretrained(folder / "llama")
    bert = transformers.BertConfig(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=2, **sizes
    )
    transformers.BertForMaskedLM(bert).save_pretrained(folder / "bert-masked")
    classifier = transformers.BertForSequenceClassification(bert)
    classifier.save_pretrained(folder / "bert")
    for name in ("llama", "bert", "bert-masked"):
        write_bert_tokenizer(folder / name)
    write_t5(folder)
    return folder


def write_t5(folder: Path) -> Path:
    """Let the original write a tiny ``t5`` without dropout, and its tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(SPECIAL) + len(WORDS) + len(PIECES),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=3,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder / "t5")
    return write_bert_tokenizer(folder / "t5")
