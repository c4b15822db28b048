"""Mirror of ``transformers.models.auto.tokenization_auto``."""

from hfpaddle.transformers.tokenization import AutoTokenizer

__all__ = ["AutoTokenizer"]
