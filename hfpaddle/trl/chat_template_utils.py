"""Mirror of ``trl.chat_template_utils``: what trainers ask of a chat template."""

from __future__ import annotations

import re
from typing import Any

from hfpaddle.core.errors import UnsupportedArgumentError

_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")


def _default(template: Any) -> str:
    """Return the template; of several, the one called ``default``."""
    return template["default"] if isinstance(template, dict) else template


def has_generation_markers(chat_template: Any) -> bool:
    """Tell whether a template marks the assistant's turns with ``{% generation %}``."""
    return _MARKER.search(_default(chat_template) or "") is not None


def get_training_chat_template(processing_class: Any) -> str | None:
    """Return None for a template that marks the assistant's turns.

    Raises: UnsupportedArgumentError for one that does not. trl has such templates for about thirty
    model families, which hfpaddle does not ship.
    """
    if has_generation_markers(processing_class.chat_template):
        return None
    raise UnsupportedArgumentError(
        "get_training_chat_template: the chat template does not mark the assistant's turns, and "
        "hfpaddle has no marked version of it. Put {% generation %} and {% endgeneration %} around "
        "the assistant's content and end-of-turn token in tokenizer.chat_template, or give such a "
        "template as SFTConfig(chat_template_path='template.jinja')."
    )


def is_chat_template_stop_token_trained(
    processing_class: Any, chat_template: str | None = None
) -> bool:
    """Tell whether the mask of the assistant's turns takes in the token that ends them."""
    from jinja2 import TemplateError

    messages = [{"role": role, "content": "dummy"} for role in ("user", "assistant", "user")]
    try:
        output = processing_class.apply_chat_template(
            messages,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            chat_template=chat_template,
        )
    except (TemplateError, TypeError, ValueError):
        return False
    added = set(processing_class.get_added_vocab().values())
    pairs = zip(output["input_ids"], output["assistant_masks"], strict=False)
    for token in reversed([token for token, masked in pairs if masked]):
        if processing_class.decode([token]).strip():
            return token in added
    return False


def parse_response(tokenizer: Any, ids: list[int], prefix: list[int] | None = None) -> dict:
    """Return the assistant's message that ``ids`` are, by the tokenizer's template of responses.

    Args:
        prefix: ids of the conversation before it.
    What cannot be parsed is taken as plain content.
    """
    try:
        templated = getattr(tokenizer, "response_template", None) is not None
        further = {"prefix": prefix} if templated and prefix is not None else {}
        message = tokenizer.parse_response(ids, **further)
        if message is None:
            raise ValueError("nothing is left of the response")
    except (ValueError, TypeError):
        text = tokenizer.decode(ids, skip_special_tokens=True)
        return {"role": "assistant", "content": text}
    content = message.get("content")
    if isinstance(content, str):
        content = content.removesuffix(tokenizer.eos_token)
    return {**message, "content": content or ""}


def clone_chat_template(
    model: Any, tokenizer: Any, source_tokenizer_path: str, resize_to_multiple_of: int | None = 64
) -> tuple[Any, Any, list[int]]:
    """Take over chat template, end token and added tokens of another tokenizer.

    The embeddings grow to the new vocabulary, rounded up to ``resize_to_multiple_of`` with filler
    tokens ``<extra_id_0>`` and so on.

    Returns: model, tokenizer, and the ids of all tokens that were added.
    """
    from tokenizers import AddedToken

    from hfpaddle.transformers import AutoTokenizer

    source = AutoTokenizer.from_pretrained(source_tokenizer_path)
    tokenizer.chat_template = source.get_chat_template()
    known = tokenizer.get_vocab()
    added = [token for token in source.added_tokens_decoder.values() if token.content not in known]
    tokenizer.add_tokens(added)
    tokenizer.eos_token = source.eos_token
    model.config.get_text_config().eos_token_id = tokenizer.eos_token_id
    if model.can_generate():
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.resize_token_embeddings(
        len(tokenizer.get_vocab()), pad_to_multiple_of=resize_to_multiple_of
    )
    rows, number = model.get_input_embeddings().weight.shape[0], 0
    while rows > len(tokenizer.get_vocab()):
        filler = AddedToken(f"<extra_id_{number}>")
        if tokenizer.add_tokens(filler):
            added.append(filler)
        number += 1
    ids = tokenizer.convert_tokens_to_ids([token.content for token in added])
    return model, tokenizer, ids
