"""Import transformers without its advice to install PyTorch, which does not apply here."""

from __future__ import annotations

import os

_ADVICE = "TRANSFORMERS_NO_ADVISORY_WARNINGS"


def import_transformers() -> None:
    """Import transformers; the environment is afterwards as it was."""
    before = os.environ.get(_ADVICE)
    os.environ[_ADVICE] = "1"
    try:
        import transformers  # noqa: F401
    finally:
        if before is None:
            del os.environ[_ADVICE]
        else:
            os.environ[_ADVICE] = before
