"""Conversations as inputs: what tells a list of messages from a list of texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

from hfpaddle.transformers.pipelines.pt_utils import KeyDataset


def is_valid_message(message: Any) -> bool:
    """True for a dict with ``role`` and ``content``."""
    return isinstance(message, dict) and "role" in message and "content" in message


class Chat:
    """One conversation: a list of messages that must not be taken for a batch of inputs."""

    def __init__(self, messages: Any) -> None:
        for message in messages:
            if not is_valid_message(message):
                raise ValueError(
                    "When passing chat dicts as input, each dict must have a 'role' and 'content' "
                    f"key; got {message!r}."
                )
        self.messages = messages


def _is_conversation(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) > 0 and is_valid_message(item[0])


def mark_chats(inputs: Any) -> Any:
    """Wrap a conversation, or each of several, in `Chat`; leave all else alone.

    Of a generator only the first item is looked at, and a generator comes back, unless its items
    are the messages of one conversation.
    """
    if isinstance(inputs, GeneratorType):
        return _mark_streamed(inputs)
    if not isinstance(inputs, (list, tuple, KeyDataset)) or len(inputs) == 0:
        return inputs
    if is_valid_message(inputs[0]):
        return Chat(inputs)
    if not isinstance(inputs[0], (list, tuple)):
        return inputs
    each = [inputs[i] for i in range(len(inputs))]
    return [Chat(item) for item in each] if all(map(_is_conversation, each)) else inputs


def _mark_streamed(inputs: Iterator) -> Any:
    empty = object()
    first = next(inputs, empty)
    if first is empty:
        return []
    whole = itertools.chain([first], inputs)
    if is_valid_message(first):
        return Chat(list(whole))
    if _is_conversation(first):
        return (Chat(messages) for messages in whole)
    return (item for item in whole)
