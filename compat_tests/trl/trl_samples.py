"""A tiny llama with a chat tokenizer, and made-up data of each kind, for both libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WORDS = "red blue green big small old new cat dog bird house tree runs sits sees the on".split()
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<pad>", "<|im_start|>", "<|im_end|>"]


def write_tokenizer(folder: Path) -> Path:
    """Write a byte-level BPE tokenizer with a chat template that marks the assistant."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([*texts(100), "user assistant system"], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<pad>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


SIZES = {
    **{"vocab_size": 330, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 128},
    **{"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 2},
}


def write_llama(folder: Path) -> Path:
    """Let the original write a tiny llama with that tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder)
    return write_tokenizer(folder)


def write_mixtral(folder: Path) -> Path:
    """Let the original write a tiny mixture of experts with that tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.MixtralConfig(num_local_experts=4, **SIZES)
    transformers.MixtralForCausalLM(config).save_pretrained(folder)
    return write_tokenizer(folder)


def texts(count: int, seed: int = 0, most: int = 12) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(2, most))) for _ in range(count)]


def turns(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def rows(kind: str, count: int = 22, seed: int = 0) -> list[dict]:
    """Return examples of ``kind``."""
    asked, said, other = (texts(count, 10 * seed + i, 6 + 4 * i) for i in range(3))
    triples = list(zip(asked, said, other, strict=True))
    if kind == "text":
        return [{"text": b} for _, b, _ in triples]
    if kind == "chat":
        return [{"messages": turns("user", a) + turns("assistant", b)} for a, b, _ in triples]
    if kind == "dialogue":  # several turns of the assistant
        return [
            {
                "messages": turns("user", a)
                + turns("assistant", b)
                + turns("user", c)
                + turns("assistant", a)
            }
            for a, b, c in triples
        ]
    if kind == "sharegpt":
        return [
            {"conversations": [{"from": "user", "value": a}, {"from": "assistant", "value": b}]}
            for a, b, _ in triples
        ]
    if kind == "completion":
        return [{"prompt": a + ":", "completion": " " + b} for a, b, _ in triples]
    if kind == "chat-completion":
        return [
            {"prompt": turns("user", a), "completion": turns("assistant", b)} for a, b, _ in triples
        ]
    if kind == "preference":
        return [{"prompt": a + ":", "chosen": " " + b, "rejected": " " + c} for a, b, c in triples]
    if kind == "chat-preference":
        return [
            {
                "prompt": turns("user", a),
                "chosen": turns("assistant", b),
                "rejected": turns("assistant", c),
            }
            for a, b, c in triples
        ]
    if kind == "implicit-preference":
        return [
            {
                "chosen": turns("user", a) + turns("assistant", b),
                "rejected": turns("user", a) + turns("assistant", c),
            }
            for a, b, c in triples
        ]
    raise KeyError(kind)


def dataset(kind: str, count: int = 22, seed: int = 0):
    import datasets

    return datasets.Dataset.from_list(rows(kind, count, seed))
