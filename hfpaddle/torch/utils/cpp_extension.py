"""``torch.utils.cpp_extension``: importable; building against torch is not possible here."""

from __future__ import annotations

from typing import Any, NoReturn

from hfpaddle.core.errors import MissingFeatureError

__all__ = ["CUDA_HOME", "BuildExtension", "CUDAExtension", "CppExtension", "load", "load_inline"]

CUDA_HOME = None


def load(name: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Not carried over."""
    raise MissingFeatureError(
        f"cpp_extension: {name!r} is C++ against torch, which is not here. Use "
        "paddle.utils.cpp_extension for an operator of Paddle."
    )


load_inline = CppExtension = CUDAExtension = load


class BuildExtension:
    """Only a name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        load("BuildExtension")
