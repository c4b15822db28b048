"""``torch._C``: the few names of it that scripts touch."""

from typing import Any

from hfpaddle.torch._create import Size
from hfpaddle.torch._random import Generator
from hfpaddle.torch._random import default_generator as default_generator

__emulated__ = True


def _log_api_usage_once(*_: Any) -> None:
    """Nothing is logged."""


__all__ = ["Generator", "Size"]
