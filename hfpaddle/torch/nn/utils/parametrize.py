"""``torch.nn.utils.parametrize``: only the questions have an answer here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from hfpaddle.core.errors import MissingFeatureError


def register_parametrization(module: Any, tensor_name: str, parametrization: Any, **_: Any):
    """Not carried over."""
    raise MissingFeatureError(
        "torch.nn.utils.parametrize.register_parametrization has no implementation here. Compute "
        f"{tensor_name!r} in the module's forward method."
    )


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """False: nothing is."""
    return False


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True):
    """Not carried over."""
    raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Nothing to cache."""
    yield
