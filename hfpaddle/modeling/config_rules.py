"""No config key is ignored silently.

While a model is built, the config remembers which of its fields the constructors read. A field that
nobody read, whose value is not the config class's default and which could change numbers, raises.
So a family implements a key by reading it, and there is no list of supported keys to keep.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from hfpaddle.core.errors import UnsupportedConfigError

# Fields that say nothing about the numbers of a forward pass.
NEUTRAL = frozenset(
    """
    architectures auto_map bos_token_id chunk_size_feed_forward cls_token_id
    decoder_start_token_id dtype eos_token_id finetuning_task forced_bos_token_id
    forced_eos_token_id gradient_checkpointing id2label init_std initializer_factor
    initializer_range is_encoder_decoder keys_to_ignore_at_inference label2id mask_token_id
    max_window_layers model_type name_or_path num_labels output_attentions
    output_hidden_states pad_token_id prefix pretraining_tp problem_type return_dict
    sep_token_id task_specific_params tie_encoder_decoder tie_word_embeddings tokenizer_class
    torch_dtype torchscript transformers_version unk_token_id use_bfloat16 use_cache
    """.split()
)

_building: ContextVar[set[str] | None] = ContextVar("building", default=None)


def building() -> bool:
    """Tell whether a model is being built further up the stack."""
    return _building.get() is not None


@contextlib.contextmanager
def recording(config: Any) -> Iterator[set[str]]:
    """Collect the names of the fields of ``config`` that are read within the block."""
    cls = type(config)
    read: set[str] = set()

    class Recorded(cls):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> Any:
            if name[0] != "_":
                read.add(name)
            return super().__getattribute__(name)

    token = _building.set(read)
    object.__setattr__(config, "__class__", Recorded)
    try:
        yield read
    finally:
        object.__setattr__(config, "__class__", cls)
        _building.reset(token)


def _default(field: dataclasses.Field) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None


def refuse_unread(config: Any, read: set[str], also_neutral: frozenset[str]) -> None:
    """Raise UnsupportedConfigError for each field that matters and that no constructor read."""
    renamed = getattr(type(config), "attribute_map", {})
    read = read | {renamed.get(name, name) for name in read}
    unread = {}
    for field in dataclasses.fields(config):
        name = field.name
        if name in read or name in NEUTRAL or name in also_neutral or name.startswith("_"):
            continue
        value = getattr(config, name, None)
        if value is not None and value != _default(field):
            unread[name] = (value, _default(field))
    if unread:
        listed = "; ".join(f"{k} = {v!r} (works: {d!r})" for k, (v, d) in unread.items())
        raise UnsupportedConfigError(
            f"{type(config).__name__}: hfpaddle's {config.model_type} does not implement {listed}. "
            "The numbers would differ from the original's. Remove the key if it has no effect for "
            "you, or see docs/add-a-model.md."
        )
