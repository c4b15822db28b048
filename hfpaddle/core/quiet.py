"""Import transformers without its advice to install PyTorch, which does not apply here."""

from __future__ import annotations

import logging


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "PyTorch was not found" not in record.getMessage()


def import_transformers() -> None:
    """Import transformers. Its advice stays away for good: some of its parts run it once more."""
    logging.getLogger("transformers").addFilter(_is_no_advice)
    import transformers  # noqa: F401
