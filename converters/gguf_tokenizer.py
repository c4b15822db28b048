"""The tokenizer inside a GGUF file, without torch.

transformers rebuilds tokenizers from GGUF metadata, but its reader of that metadata imports torch.
The metadata comes from our reader here; building the tokenizer stays transformers' part.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hfpaddle.converters.gguf import GGUFFile, read_gguf
from hfpaddle.core.errors import CheckpointError, MissingDependencyError

_TOKENIZER = {
    "tokenizer.ggml.model": "tokenizer_type",
    "tokenizer.ggml.pre": "pre_tokenizer_type",
    "tokenizer.ggml.tokens": "tokens",
    "tokenizer.ggml.scores": "scores",
    "tokenizer.ggml.token_type": "token_type",
    "tokenizer.ggml.merges": "merges",
    "tokenizer.ggml.precompiled_charsmap": "precompiled_charsmap",
    "tokenizer.ggml.bos_token_id": "bos_token_id",
    "tokenizer.ggml.eos_token_id": "eos_token_id",
    "tokenizer.ggml.unknown_token_id": "unk_token_id",
    "tokenizer.ggml.padding_token_id": "pad_token_id",
    "tokenizer.ggml.add_space_prefix": "add_prefix_space",
}
_SETTINGS = {
    "tokenizer.chat_template": "chat_template",
    "tokenizer.ggml.add_bos_token": "add_bos_token",
    "tokenizer.ggml.add_eos_token": "add_eos_token",
}
_SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unk_token_id",
    "pad_token": "pad_token_id",
}


def tokenizer_parts(file: GGUFFile) -> tuple[dict[str, Any], dict[str, Any]]:
    """What builds the backend, and the settings of the tokenizer around it.

    Raises: CheckpointError if the file has no vocabulary, or a special token outside it.
    """
    source = file.path.name
    parts = {ours: file.metadata[key] for key, ours in _TOKENIZER.items() if key in file.metadata}
    parts = {key: v.tolist() if hasattr(v, "tolist") else v for key, v in parts.items()}
    tokens = parts.get("tokens")
    if not isinstance(tokens, list) or not tokens:
        raise CheckpointError(
            f"{source} holds no vocabulary (tokenizer.ggml.tokens). Load the tokenizer from the "
            "original model's folder."
        )
    settings = {ours: file.metadata[key] for key, ours in _SETTINGS.items() if key in file.metadata}
    if parts.get("tokenizer_type") == "llama":
        settings.setdefault("add_bos_token", True)  # what llama.cpp does where the file is silent
    for name, key in _SPECIAL.items():
        number = parts.get(key)
        if number is not None and not (type(number) is int and 0 <= number < len(tokens)):
            raise CheckpointError(
                f"{source}: {key} is {number!r}, outside the vocabulary of {len(tokens)} tokens. "
                "The file is damaged: fetch it again."
            )
        settings[name] = None if number is None else tokens[number]
    return parts, settings


def load_gguf_tokenizer(path: str | os.PathLike, **kwargs: Any) -> Any:
    """The tokenizer that ``AutoTokenizer.from_pretrained(folder, gguf_file=name)`` gives.

    Args:
        kwargs: settings that win over the file's, as ``padding_side``.
    Raises: errors of :func:`read_gguf` and :func:`tokenizer_parts`; CheckpointError for a kind of
        tokenizer that transformers cannot rebuild.
    """
    try:
        from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer
        from transformers.models.auto.tokenization_auto import (
            TOKENIZER_MAPPING_NAMES,
            tokenizer_class_from_name,
        )
    except ImportError as error:
        raise MissingDependencyError(
            f"Tokenizers in GGUF files need a newer transformers ({error}). Run: "
            "pip install 'transformers>=5.23,<6'"
        ) from error
    file = read_gguf(path)
    parts, settings = tokenizer_parts(file)
    try:
        backend, more = convert_gguf_tokenizer(file.metadata["general.architecture"], parts)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"{file.path.name}: its tokenizer ({parts.get('tokenizer_type')!r}) cannot be rebuilt: "
            f"{error}. Load the tokenizer from the original model's folder."
        ) from error
    name = TOKENIZER_MAPPING_NAMES.get(file.family.model_type) or "TokenizersBackend"
    tokenizer_class: Any = tokenizer_class_from_name(name)
    folder = str(Path(path).parent)
    return tokenizer_class(
        tokenizer_object=backend, name_or_path=folder, **(settings | more | kwargs)
    )
