"""Mirror of ``transformers.models.auto``."""

from hfpaddle.modeling.auto import *  # noqa: F403
from hfpaddle.transformers.models.auto.configuration_auto import AutoConfig
from hfpaddle.transformers.tokenization import AutoTokenizer

__all__ = ["AutoConfig", "AutoTokenizer"]
