"""Mirror of ``transformers.cache_utils``."""

from hfpaddle.layers.cache import *  # noqa: F403
