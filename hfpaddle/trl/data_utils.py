"""Mirror of ``trl.data_utils``: chat, prompt-completion and preference data.

A dataset's columns tell what it holds: ``messages`` or a text column (language modelling),
``prompt`` and ``completion``, ``prompt`` with ``chosen`` and ``rejected`` (preference). A value is
a string, or a list of messages ``{"role": ..., "content": ...}``.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable
from typing import Any

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.trl.packing import pack_dataset

__all__ = [
    "apply_chat_template",
    "common_prefix_length",
    "extract_prompt",
    "get_dataset_column_names",
    "is_conversational",
    "is_conversational_from_value",
    "maybe_apply_chat_template",
    "maybe_convert_to_chatml",
    "maybe_extract_prompt",
    "maybe_unpair_preference_dataset",
    "pack_dataset",
    "truncate_dataset",
    "unpair_preference_dataset",
]

TURNS = ("prompt", "chosen", "rejected", "completion", "messages")
_SHAPES = (
    {"messages"},
    {"prompt"},
    {"prompt", "completion"},
    {"prompt", "chosen", "rejected"},
    {"chosen", "rejected"},
    {"prompt", "completion", "label"},
)


def is_conversational(example: dict[str, Any]) -> bool:
    """Tell whether ``example`` holds lists of messages."""
    found = next((example[key] for key in TURNS if key in example), None)
    return isinstance(found, list) and isinstance(found[0], dict) and "role" in found[0]


def is_conversational_from_value(example: dict[str, Any]) -> bool:
    """Tell whether ``conversations`` holds messages ``{"from": ..., "value": ...}``."""
    found = example.get("conversations")
    if not isinstance(found, list):
        return False
    return isinstance(found[0], dict) and {"from", "value"} <= set(found[0])


def maybe_convert_to_chatml(example: dict[str, Any]) -> dict[str, Any]:
    """Rename ``from`` and ``value`` of messages, and ``conversations``, in place."""
    for key in ("prompt", "completion", "chosen", "rejected", "messages", "conversations"):
        turns = example.get(key)
        for message in turns if isinstance(turns, list) else ():
            if isinstance(message, dict):
                for old, new in (("from", "role"), ("value", "content")):
                    if old in message:
                        message[new] = message.pop(old)
    if "conversations" in example:
        example["messages"] = example.pop("conversations")
    return example


def common_prefix_length(ids: Any, other_ids: Any) -> int:
    """Count the leading items that two sequences share."""
    shared = zip(ids, other_ids, strict=False)
    return next((i for i, (a, b) in enumerate(shared) if a != b), min(len(ids), len(other_ids)))


def _prompt_text(prompt: list[dict], render: Callable[..., str]) -> str:
    """Render a prompt up to where the answer begins."""
    role = prompt[-1]["role"]
    if role not in ("user", "tool", "assistant"):
        raise ValueError(f"Invalid role in the last message: {role}")
    open_turn = role == "assistant"
    return render(prompt, continue_final_message=open_turn, add_generation_prompt=not open_turn)


def apply_chat_template(
    example: dict[str, Any],
    processing_class: Any,
    tools: list | None = None,
    **template_kwargs: Any,
) -> dict[str, Any]:
    """Return ``example`` with its messages rendered: ``text`` for ``messages``, else the same keys.

    A prompt is what it shares with prompt and answer rendered together; the answer is the rest.

    Raises: KeyError for columns that are none of the known kinds.
    """
    keys = {key for key in (*TURNS, "label") if key in example}
    if keys not in _SHAPES:
        raise KeyError(f"Invalid keys in the example: {keys}")
    own = example.get("chat_template_kwargs", {})

    def render(messages: list[dict], **kwargs: Any) -> str:
        kwargs = {**kwargs, **own, **template_kwargs}
        # An empty list of tools makes some templates speak of tools.
        return processing_class.apply_chat_template(
            messages, tools=tools or None, tokenize=False, **kwargs
        )

    if "messages" in example:
        return {"text": render(example["messages"])}
    answers = [key for key in ("chosen", "rejected", "completion") if key in example]
    if "prompt" in example:
        prompt = _prompt_text(example["prompt"], render)
        whole = {key: render(example["prompt"] + example[key]) for key in answers}
        for text in whole.values():
            prompt = os.path.commonprefix([prompt, text])
        rendered = {"prompt": prompt}
        rendered |= {key: text[len(prompt) :] for key, text in whole.items()}
    else:
        rendered = {key: render(example[key]) for key in answers}
    if "label" in example:
        rendered["label"] = example["label"]
    return rendered


def maybe_apply_chat_template(
    example: dict[str, Any],
    processing_class: Any,
    tools: list | None = None,
    **template_kwargs: Any,
) -> dict[str, Any]:
    """`apply_chat_template` for messages; anything else as it is."""
    if is_conversational(example):
        return apply_chat_template(example, processing_class, tools, **template_kwargs)
    return example


def _tokenize(processing_class: Any, input: Any, **apply_chat_template_kwargs: Any) -> Any:
    """Encode a string, or messages by the chat template. Returns at least ``input_ids``, a list."""
    if isinstance(input, list):
        return processing_class.apply_chat_template(
            input, tokenize=True, return_dict=True, **apply_chat_template_kwargs
        )
    return processing_class(text=input)


def get_dataset_column_names(dataset: Any) -> list[str]:
    """Return the columns; those of a stream from its first example."""
    if dataset.column_names is None:
        return list(next(iter(dataset)))
    return dataset.column_names


def _first(dataset: Any) -> Any:
    return next(iter(dataset.values())) if isinstance(dataset, dict) else dataset


def _unpair(batch: dict[str, list]) -> dict[str, list]:
    count = len(batch["chosen"])
    rest = {k: v + v for k, v in batch.items() if k not in ("chosen", "rejected")}
    labels = [True] * count + [False] * count
    return {"completion": batch["chosen"] + batch["rejected"], "label": labels, **rest}


def unpair_preference_dataset(dataset: Any, **map_kwargs: Any) -> Any:
    """Make ``completion`` and ``label`` of ``chosen`` and ``rejected``: two rows of each one."""
    columns = get_dataset_column_names(_first(dataset))
    return dataset.map(_unpair, batched=True, remove_columns=columns, **map_kwargs)


def maybe_unpair_preference_dataset(
    dataset: Any, num_proc: int | None = None, desc: str | None = None
) -> Any:
    """`unpair_preference_dataset` for a preference dataset; anything else as it is."""
    if {"chosen", "rejected"} <= set(_first(dataset).column_names):
        return unpair_preference_dataset(dataset, num_proc=num_proc, desc=desc)
    return dataset


def extract_prompt(example: dict[str, Any]) -> dict[str, Any]:
    """Split off what ``chosen`` and ``rejected`` begin with in common, as ``prompt``.

    A space before the difference belongs to the answers.
    """
    chosen, rejected = example["chosen"], example["rejected"]
    shorter = min(len(chosen), len(rejected))
    cut = common_prefix_length(chosen, rejected)
    if cut == shorter:
        cut = shorter - 1  # as upstream: the last item of the shorter one is answer in any case
    elif chosen[cut - 1] == " ":
        cut -= 1
    return {"prompt": chosen[:cut], "chosen": chosen[cut:], "rejected": rejected[cut:]}


def maybe_extract_prompt(example: dict[str, Any]) -> dict[str, Any]:
    """`extract_prompt` where the prompt is not there in the form of the answers."""
    if "chosen" not in example or "rejected" not in example:
        return example
    if "prompt" in example:
        chosen = is_conversational({"chosen": example["chosen"]})
        if chosen == is_conversational({"prompt": example["prompt"]}):
            return example
    return extract_prompt(example)


def _truncate(example: dict[str, Any], max_length: int) -> dict[str, Any]:
    return {k: v[:max_length] if isinstance(v, list) else v for k, v in example.items()}


def truncate_dataset(
    dataset: Any, max_length: int, map_kwargs: dict[str, Any] | None = None
) -> Any:
    """Cut every list of every example to ``max_length``; trl had this until 1.0.

    Raises: UnsupportedArgumentError for a length below 1.
    """
    if max_length < 1:
        raise UnsupportedArgumentError(
            f"truncate_dataset(max_length={max_length}): at least 1 (leave it out to keep all)."
        )
    return dataset.map(_truncate, fn_kwargs={"max_length": max_length}, **(map_kwargs or {}))
